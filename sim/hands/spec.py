"""Description of a hand as data: names and orders, frame, servos, what pictures need."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from opendactyl.geometry.rotation import Array
from opendactyl.sim.assets.fields import Pose, Triple
from opendactyl.sim.assets.lookup import Asset, find_asset
from opendactyl.sim.assets.mesh_formats import converted_with
from opendactyl.sim.assets.source_files import Kind, SourceFiles, model_files
from opendactyl.sim.hands.frame import HandFrame
from opendactyl.sim.hands.log_columns import LogColumns
from opendactyl.sim.hands.parameters import PhysicalParameters

DEFAULT_HAND = "shadow"
"""The hand that needs no option, and of the runs, datasets and bundles that name none."""
NO_HAND = "none"
"""What `--hand` takes with `--scene`: pose estimation without a hand."""
MOUNT = "mount"
"""Body that a hand with a pose of its own is attached to, and the prefix of the hand's names."""


class Fingertip(NamedTuple):
    """A fingertip: a site of the model, or a point of a body, at which a site is added."""

    name: str
    body: str = ""
    """The body; empty for a site of the model."""
    position: Triple = (0.0, 0.0, 0.0)
    """The point in the body's frame, in metres."""


class Servo(NamedTuple):
    """A position servo for each actuator, where the model has none."""

    kp: float
    """Torque in N m per radian."""
    kv: float = 0.0
    """Damping of the servo in N m s per radian."""
    force: float = 0.0
    """Largest torque in N m; 0: no limit."""
    damping: float | None = None
    """Damping of the joints in N m s per radian; None: the model's."""
    armature: float | None = None
    """Armature of the joints in kg m²; None: the model's."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """The hand's MJCF or URDF, and how it becomes a part of the scene."""

    file: str
    """Path relative to the folders that `assets.lookup` searches."""
    package: str = ""
    """Folder of an installed package that is searched, too."""
    source: str = ""
    """The command that gets the file."""
    prefix: str = ""
    """What the names in the model begin with, and those of the description do not."""
    remove: tuple[str, ...] = ()
    """Patterns of names: bodies, geoms, tendons and actuators that are removed."""
    exclude: tuple[tuple[str, str], ...] = ()
    """Pairs of bodies that do not collide."""
    mount: Pose | None = None
    """World pose of the model's origin, as position and quaternion; None: the default hand, which
    is not attached to a body of its own."""
    servo: Servo | None = None
    """None: the model has position servos."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HandSpec:
    """A hand. Orders of joints, actuators and fingertips are those of observations and actions."""

    name: str
    path: Path
    """The TOML file."""
    model: ModelFile
    joints: tuple[str, ...]
    """Names without the model's prefix, as those of actuators, sites and bodies."""
    actuators: tuple[str, ...]
    """One for each action coordinate, in the order of the model."""
    fingertips: tuple[Fingertip, ...]
    frame: HandFrame
    drop_height: float
    """Height below which the object's centre counts as dropped, in metres in the hand frame."""
    object_positions: tuple[Triple, Triple]
    """Lowest and highest position of the object's centre over the palm, in metres."""
    start_position: Triple
    """Where the object is dropped onto the palm, in metres."""
    start_joints: dict[str, float] = field(default_factory=dict)
    """Joint angles at the start; of other joints, 0.3 of the centre of their range."""
    coarse: tuple[str, ...] = ("*",)
    """Patterns of names: visual meshes that are simplified for pictures."""
    landmarks: Array | None = None
    """Points (M, 3) on the static parts, in the hand frame; None: chosen by visibility."""
    nails: Array
    """Offsets (F, 3) of the fingertip markers in the fingertips' frames, in metres."""
    touch: tuple[str, ...] = ()
    """Touch sensors of the model, one for each fingertip; empty: the hand has none."""
    backlash_exponents: Array | None = None
    """Calibrated exponents (2, A) of the backlash, downwards and upwards; None: not calibrated."""
    parameters: PhysicalParameters = PhysicalParameters()
    """Measured parameters, instead of the model's."""
    log: LogColumns = LogColumns()
    """Columns of logs of the robot."""
    is_shipped: bool = False
    """Whether the TOML file is one of `configs/hands`."""

    kind: Kind = field(default="hand", init=False)

    @property
    def where(self) -> str:
        """The beginning of messages about it."""
        return f"hand {self.name}" if self.is_shipped else f"hand {self.path}"

    @property
    def prefix(self) -> str:
        """What the names in a scene begin with."""
        return (f"{MOUNT}/" if self.model.mount else "") + self.model.prefix

    @property
    def reference(self) -> str:
        """What `hand_spec` and `--hand` take: a shipped name, or a path."""
        return self.name if self.is_shipped else str(self.path)

    @cached_property
    def asset(self) -> Asset:
        """The model's file.

        Raises:
            InputError: it is missing.
        """
        model = self.model
        return find_asset(model.file, self.path.parent, self.where, model.package, model.source)

    @cached_property
    def checksums(self) -> SourceFiles:
        """The TOML file, the model, its meshes and its licence, with checksums.

        Raises:
            InputError: a file is missing.
        """
        files, licences = model_files(self.asset, self.where)
        paths = {f"{self.name}.toml": self.path} | files | licences
        return SourceFiles.of(self.path, paths, converted_with(files.values()))

    @property
    def files(self) -> SourceFiles | None:
        """The files that copies contain; None for the default hand, which is installed."""
        return None if self.is_default else self.checksums

    @property
    def is_default(self) -> bool:
        """Whether this is the shipped default hand."""
        return self.is_shipped and self.name == DEFAULT_HAND

    @property
    def identity(self) -> dict[str, Any] | None:
        """Checksums and library versions (`SourceFiles.identity`); None for the default hand."""
        return self.files.identity if self.files else None
