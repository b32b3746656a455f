"""A dataset's manifest: what it holds, how it was made, and the checksum of every shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json, sha256, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.label import SCHEMA_VERSION, UNUSABLE, finite_array, whole
from opendactyl.datasets.format.shards import MAX_SAMPLES, Sample, read_shard
from opendactyl.geometry.rig import Rig

MANIFEST_NAME = "manifest.json"
CARD_NAMES = ("README.md", "samples.png", "statistics.png")
"""The dataset card: its text, a contact sheet and histograms."""


@dataclass(frozen=True)
class Shard:
    """One shard as the manifest knows it."""

    name: str
    """File name, relative to the manifest."""
    start: int
    """Index of its first sample."""
    stop: int
    """One past the index of its last sample."""
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The contents of `manifest.json`."""

    seed: int
    num_samples: int
    object: str
    """A key of `sim.objects.OBJECTS`."""
    keypoints: list[list[float]]
    """The object's corners and face centres (K + F, 3) in the object frame, in metres."""
    num_corners: int
    """How many of the keypoints are corners; they come first."""
    rig: dict[str, Any]
    """The nominal cameras at the dataset's image size (`Rig.to_dict`)."""
    config: dict[str, Any]
    """The resolved settings that decide the samples."""
    config_hash: str
    made_with: dict[str, str]
    """Renderer, GL backend and library versions."""
    shards: list[Shard]
    repeats: str = ""
    """What the same command gives again on one type of machine."""
    schema: int = SCHEMA_VERSION

    def load_rig(self) -> Rig:
        """The nominal cameras."""
        return Rig.from_dict(self.rig)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest.json` into a dataset's folder."""
    write_json(
        folder / MANIFEST_NAME, vars(manifest) | {"shards": [vars(s) for s in manifest.shards]}
    )


def load_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of the dataset in `folder`.

    Raises:
        InputError: there is no finished dataset, or it is of another schema version.
    """
    folder = Path(folder)
    path = folder / MANIFEST_NAME
    if not path.exists():
        raise InputError(
            f"{folder} holds no finished dataset ({MANIFEST_NAME} is missing); "
            "make one with `opendactyl dataset`, or finish it with --resume"
        )
    try:
        value = read_json(path)
        if value["schema"] != SCHEMA_VERSION:
            raise ValueError(
                f"it has schema {value['schema']!r}, this version reads {SCHEMA_VERSION}; "
                "make the dataset again"
            )
        manifest = Manifest(**value | {"shards": [Shard(**shard) for shard in value["shards"]]})
        _check(manifest)
    except UNUSABLE as error:
        raise InputError(
            f"{path} is no dataset manifest ({error!r:.300}); delete it, and the command that made "
            "the dataset makes another with --resume, from the shards that are there"
        ) from error
    return manifest


def _check(manifest: Manifest) -> None:
    """Raises a `ValueError` unless the shards follow one another and the keypoints are points."""
    count = len(finite_array(manifest.keypoints, (None, 3)))
    if not whole(manifest.num_corners) <= count or not isinstance(manifest.config, dict):
        raise ValueError("its keypoints or its settings are not those of a dataset")
    whole(manifest.seed)
    manifest.load_rig()
    end = 0
    for shard in manifest.shards:
        plain = Path(shard.name).name == shard.name and not shard.name.startswith(".")
        size = whole(shard.stop) - whole(shard.start)
        if not plain or shard.start != end or not 0 < size <= MAX_SAMPLES:
            raise ValueError(f"its shard {shard.name!r} does not follow the one before")
        end = shard.stop
    if not end:
        raise ValueError("it holds no samples")
    if end != manifest.num_samples:
        raise ValueError(f"its shards hold {end} samples, not {manifest.num_samples}")


def check_shard(folder: Path, shard: Shard) -> Path:
    """The path of a shard whose checksum holds.

    Raises:
        InputError: the shard is missing or its bytes are not those of the manifest.
    """
    path = folder / shard.name
    if not path.exists():
        raise InputError(
            f"the shard {path} is missing; `opendactyl dataset --repair {folder}` makes it again"
        )
    if sha256(path) != shard.sha256:
        raise InputError(
            f"the shard {path} is damaged: its checksum is not the manifest's; "
            f"`opendactyl dataset --repair {folder}` makes it again"
        )
    return path


def read_samples(folder: str | Path, manifest: Manifest, shard: Shard) -> Iterator[Sample]:
    """Reads one shard's samples: all of them, in order, seen by the manifest's cameras.

    Raises:
        InputError: the shard is damaged or does not hold what the manifest says.
    """
    path = check_shard(Path(folder), shard)
    views = [
        (camera["name"], camera["width"], camera["height"]) for camera in manifest.rig["cameras"]
    ]
    expected = shard.start
    for sample in read_shard(path):
        label = sample.label
        if label.index != expected or expected >= shard.stop:
            raise InputError(f"{path} holds sample {label.index} where {expected} belongs")
        if [(camera.name, camera.width, camera.height) for camera in label.cameras] != views:
            raise InputError(f"{path}: sample {expected} was not seen by the cameras {views}")
        if (sample.masks is not None) != bool(manifest.config.get("masks")):
            raise InputError(f"{path}: sample {expected} and the manifest disagree about masks")
        yield sample
        expected += 1
    if expected != shard.stop:
        raise InputError(f"{path} lacks the samples {expected} to {shard.stop - 1}")


def iterate_samples(folder: str | Path) -> Iterator[Sample]:
    """Reads all samples of a dataset in order (see `read_samples`)."""
    manifest = load_manifest(folder)
    for shard in manifest.shards:
        yield from read_samples(folder, manifest, shard)
