"""Description of a scene without a hand: models, occluders, floor, colours, and where objects are.

What uses a hand takes a `Scenery` as a hand without actuators and fingertips, whose joints are all
that moves in the scene. Poses are in the world frame of the rig.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array
from opendactyl.sim.assets.fields import Pose, Triple
from opendactyl.sim.assets.lookup import Asset, find_asset
from opendactyl.sim.assets.mesh_formats import converted_with
from opendactyl.sim.assets.source_files import Kind, SourceFiles, model_files, relative_name
from opendactyl.sim.hands.spec import HandSpec

Range = tuple[float, float]
SCENE = "scene:"
"""What the reference of a scene begins with, where that of a hand is expected."""
FLOOR, WALL = "floor", "wall"
"""Names of the room's surfaces among the colours."""


@dataclass(frozen=True, kw_only=True)
class SceneModel:
    """An MJCF or URDF in a scene."""

    name: str
    """What its names begin with, followed by `/`."""
    file: str
    package: str = ""
    source: str = ""
    pose: Pose
    """World pose of its origin, or its pose on the floor."""
    collides: bool
    """Whether the object must not touch it; a concave mesh collides as its convex hull."""
    on_floor: bool
    """Whether it moves with the floor."""
    joints: dict[str, Range]
    """Ranges within the limits, by patterns of names; radians and metres."""
    remove: tuple[str, ...]
    """Patterns of names: bodies and geoms that are removed."""


@dataclass(frozen=True, kw_only=True)
class Occluder:
    """Solids of one shape in random places."""

    shape: str
    """`box`, `sphere`, `capsule` or `cylinder`."""
    count: tuple[int, int]
    """Fewest and most that are in a sample."""
    size: tuple[Triple, Triple]
    """Half lengths of the smallest and the largest: x, y, z; of round ones radius and z."""
    positions: tuple[Triple, Triple]
    """Lowest and highest position of the centre."""


@dataclass(frozen=True, kw_only=True)
class ColourRange:
    """The colours of a group of surfaces, which have the same colour in a sample."""

    patterns: tuple[str, ...]
    """Patterns of names of materials, geoms and bodies."""
    hue: Range = (0.0, 1.0)
    saturation: Range = (0.0, 1.0)
    value: Range = (0.0, 1.0)
    metallic: Range | None = None
    """None: as the hand's in the appearance randomization."""
    gloss: Range | None = None
    is_given: bool = True
    """Whether the file states it; models without one get a colour nonetheless."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Where the object's origin is: a box, or an upright cylinder over a disc."""

    low: Triple
    high: Triple
    """Corners of the box, or of the box around the cylinder."""
    radius: float = 0.0
    """Radius of the cylinder; 0 for a box."""

    def sample(self, rng: np.random.Generator) -> Array:
        """A uniformly random point (3,)."""
        point = rng.uniform(self.low, self.high)
        if self.radius:
            angle, distance = 2 * np.pi * rng.random(), self.radius * np.sqrt(rng.random())
            centre = np.mean([self.low, self.high], axis=0)
            point[:2] = centre[:2] + distance * np.array([np.cos(angle), np.sin(angle)])
        return point


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenery(HandSpec):
    """A scene. `object_positions` is the box around its volume."""

    models: tuple[SceneModel, ...]
    occluders: tuple[Occluder, ...]
    floor: Range | None
    """Lowest and highest height of the floor; None: the scene has none."""
    colours: tuple[ColourRange, ...]
    """The first that matches applies; together they match everything."""
    volume: Volume
    mixture: dict[str, float]
    """Fractions of the states `lying`, `lifted` and `free`."""
    pictures: tuple[Path, ...]
    """Images for floor and walls, where appearances have textures."""
    given: Path
    """What `--scene` named; `path` may be that of a TOML file which would describe it."""
    text: bytes
    """Content of `path`."""
    kind: Kind = field(default="scene", init=False)

    @property
    def where(self) -> str:
        """The beginning of messages about it."""
        return f"scene {self.given}"

    @property
    def prefix(self) -> str:
        """Joints have their full names."""
        return ""

    @property
    def reference(self) -> str:
        """What takes the reference of a hand also takes this."""
        return SCENE + str(self.given)

    @property
    def asset(self) -> Asset:
        """The file that describes it."""
        return Asset(self.given.parent, self.given)

    @cached_property
    def assets(self) -> tuple[Asset, ...]:
        """The files of the models.

        Raises:
            InputError: one is missing.
        """
        return tuple(
            find_asset(m.file, self.path.parent, self.where, m.package, m.source)
            for m in self.models
        )

    @cached_property
    def checksums(self) -> SourceFiles:
        """Description, models, meshes, licences and pictures, with checksums.

        Raises:
            InputError: a file is missing, or outside of the folder that a model was found in, or
                two models have different files of one name.
        """
        paths: dict[str, Path] = {}
        for model, asset in zip(self.models, self.assets, strict=True):
            files, licences = model_files(asset, self.where)
            for name, file in files.items():
                if paths.setdefault(name, file).resolve() != file.resolve():
                    raise InputError(
                        f"{self.where}: {paths[name]} and {file} would both be {name} in the copy "
                        "that datasets contain; put one of the models into a folder of its own"
                    )
            for name, file in licences.items():
                other = paths.setdefault(name, file)
                if other.resolve() != file.resolve():
                    # Beside the other, where a copy of the model has it.
                    paths[f"{name}.{model.name}"] = file
        used = list(paths.values())
        for picture in self.pictures:
            paths[relative_name(picture, self.path.parent, self.path)] = picture
        texts = {f"{self.name}.toml": self.text}
        return SourceFiles.of(self.given, paths, converted_with(used), texts)

    @property
    def files(self) -> SourceFiles:
        """The files that copies contain."""
        return self.checksums

    @property
    def is_default(self) -> bool:
        """Never: no scene is shipped."""
        return False
