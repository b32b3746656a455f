"""The manifest of a dataset: its content, its settings, and the checksum of every shard."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from opendactyl.core.atomic_files import sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists, parse_json, read_optional
from opendactyl.datasets.format.schema import INVALID_DATA, RIGID_SCHEMA, check_schema
from opendactyl.datasets.format.shards import MAX_SAMPLES, Sample, read_shard
from opendactyl.datasets.format.statistics import LabelStatistics, Vector
from opendactyl.geometry.articulation import Articulation, Hinge
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
from opendactyl.geometry.symmetry import SymmetryGroup
from opendactyl.sim.hands.spec import DEFAULT_HAND

MANIFEST_NAME = "manifest.json"
CARD_NAMES = ("README.md", "samples.png", "statistics.png")
"""Files of the dataset card: text, contact sheet and histograms."""

_Natural = Annotated[int, Field(strict=True, ge=0)]
_FileName = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Shard:
    """The entry of one shard."""

    name: _FileName
    """File name, relative to the manifest."""
    start: _Natural
    """Index of its first sample."""
    stop: _Natural
    """One past the index of its last sample."""
    sha256: str


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Manifest:
    """The content of `manifest.json`."""

    seed: _Natural
    num_samples: _Natural
    object: str
    """Name of the object. The files of one that is not shipped are in the folder `object`."""
    keypoints: list[Vector]
    """The object's corners and face centres (K + F, 3) in the object frame, in metres; those of
    parts at angle zero."""
    num_corners: _Natural
    """The number of corners among the keypoints; corners come first."""
    rig: dict[str, Any]
    """The nominal cameras at the dataset's image size (`Rig.to_dict`)."""
    config: dict[str, Any]
    """The resolved settings that determine the samples."""
    config_hash: str
    made_with: dict[str, str]
    """Renderer, GL backend and driver, library versions, version of the generation."""
    shards: Annotated[list[Shard], Field(min_length=1)]
    repeats: str = ""
    """What the same command reproduces on one type of machine."""
    symmetry: dict[str, Any] | None = None
    """The object's rotational symmetry (`SymmetryGroup.to_dict`); None: it has none."""
    hand: dict[str, Any] | None = None
    """Name and checksums of the files of the hand; None in datasets of earlier versions, whose hand
    is the default one. The files of another hand are in the folder `hand`."""
    scene: dict[str, Any] | None = None
    """The same of a scene without a hand, in the folder `scene`; None: a hand is shown."""
    landmarks: list[Vector] | None = None
    """Points (M, 3) on static parts, in metres; None as above."""
    statistics: LabelStatistics | None = None
    """Statistics of the labels; None in datasets of earlier versions."""
    hinges: list[dict[str, Any]] | None = None
    """The object's hinges (`Hinge.to_dict`); None: it is rigid."""
    schema: int = RIGID_SCHEMA

    def load_rig(self) -> Rig:
        """The nominal cameras."""
        return Rig.from_dict(self.rig)

    def load_raw_rig(self) -> Rig | None:
        """The cameras of raw frames, if the images show regions of interest of them."""
        raw = self.config.get("raw_rig")
        return None if raw is None else Rig.from_dict(raw)

    def load_symmetry(self) -> SymmetryGroup:
        """The object's rotational symmetry."""
        return SymmetryGroup.from_dict(self.symmetry)

    @cached_property
    def articulation(self) -> Articulation:
        """The object's keypoints, and the hinges that move them."""
        hinges = tuple(map(Hinge.from_dict, self.hinges or ()))
        return Articulation(np.array(self.keypoints), hinges)

    def load_static_landmarks(self) -> Array:
        """The points (M, 3) that no joint moves."""
        if self.landmarks is None:
            return STATIC_LANDMARKS
        return np.array(self.landmarks, dtype=np.float64).reshape(-1, 3)

    @property
    def hand_name(self) -> str:
        """The name of the hand."""
        return str(self.config.get("hand", DEFAULT_HAND))

    @property
    def hand_files(self) -> dict[str, str] | None:
        """Checksums of the hand's files; None for the default hand."""
        return (self.config.get("hand_identity") or {}).get("files")

    @property
    def object_files(self) -> dict[str, str] | None:
        """Checksums of the object's files; None for a shipped object."""
        return (self.config.get("object_identity") or {}).get("files")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.load_rig()
        self.load_raw_rig()
        self.load_symmetry()
        if any(hinge.keypoints[1] > len(self.keypoints) for hinge in self.articulation.hinges):
            raise ValueError("a hinge moves more keypoints than there are")
        if self.num_corners > len(self.keypoints):
            raise ValueError(f"{self.num_corners} corners among {len(self.keypoints)} keypoints")
        end = 0
        for shard in self.shards:
            if shard.start != end or not 0 < shard.stop - shard.start <= MAX_SAMPLES:
                raise ValueError(f"shard {shard.name!r} does not follow the previous one")
            end = shard.stop
        if end != self.num_samples:
            raise ValueError(f"the shards hold {end} samples, not {self.num_samples}")
        return self


_OPTIONAL = ("symmetry", "hand", "scene", "landmarks", "statistics", "hinges")
"""Keys that are left out of the file when they are None."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest.json` into a dataset's folder."""
    content = {
        name: value
        for name, value in asdict(manifest).items()
        if value is not None or name not in _OPTIONAL
    }
    write_json(folder / MANIFEST_NAME, content)


def load_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of the dataset in `folder`.

    Raises:
        InputError: there is no finished dataset, its manifest is not permitted to be read, is
            damaged, or has another schema version.
        EnvironmentFailure: the disk failed.
    """
    path = Path(folder) / MANIFEST_NAME
    data = read_optional(path)
    if data is None:
        raise InputError(
            f"{folder} holds no finished dataset ({MANIFEST_NAME} is missing); "
            "make one with `opendactyl dataset`, or finish it with --resume"
        )
    try:
        value = parse_json(data)
        check_schema(value["schema"], "it has schema")
        return _MANIFEST.validate_python(value)
    except INVALID_DATA as error:
        raise InputError(
            f"{path} is not a valid dataset manifest ({_reason(error)}); delete it, and run the "
            "command that made the dataset with --resume: it is rebuilt from the finished shards"
        ) from error


_MANIFEST = TypeAdapter(Manifest)


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return f"{error!r:.300}"
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def check_shard(folder: Path, shard: Shard) -> Path:
    """The path of a shard, after its checksum was verified.

    Raises:
        InputError: the shard is missing, or its checksum is not the manifest's.
        EnvironmentFailure: the disk failed.
    """
    path = folder / shard.name
    if not exists(path):
        raise InputError(
            f"the shard {path} is missing; "
            f"`opendactyl dataset --repair {folder}` generates it again"
        )
    if sha256(path) != shard.sha256:
        raise InputError(
            f"the shard {path} is damaged: its checksum is not the manifest's; "
            f"`opendactyl dataset --repair {folder}` generates it again"
        )
    return path


def read_samples(folder: str | Path, manifest: Manifest, shard: Shard) -> Iterator[Sample]:
    """Reads all samples of one shard in order.

    Raises:
        InputError: the shard is damaged, or its samples or cameras are not the manifest's.
    """
    path = check_shard(Path(folder), shard)
    views = [
        (camera["name"], camera["width"], camera["height"]) for camera in manifest.rig["cameras"]
    ]
    expected = shard.start
    for sample in read_shard(path):
        label = sample.label
        if label.index != expected or expected >= shard.stop:
            raise InputError(f"{path} holds sample {label.index}, expected {expected}")
        if [(camera.name, camera.width, camera.height) for camera in label.cameras] != views:
            raise InputError(f"{path}: the cameras of sample {expected} are not {views}")
        if len(label.hinges) != len(manifest.articulation.hinges):
            raise InputError(f"{path}: sample {expected} and the manifest differ in their hinges")
        for kind, stored in (("masks", sample.masks), ("depth", sample.depth)):
            if (stored is not None) != bool(manifest.config.get(kind)):
                raise InputError(f"{path}: sample {expected} and the manifest differ in {kind}")
        yield sample
        expected += 1
    if expected != shard.stop:
        raise InputError(f"{path}: samples {expected} to {shard.stop - 1} are missing")


def iterate_samples(folder: str | Path) -> Iterator[Sample]:
    """Reads all samples of a dataset in order (see `read_samples`)."""
    manifest = load_manifest(folder)
    for shard in manifest.shards:
        yield from read_samples(folder, manifest, shard)
