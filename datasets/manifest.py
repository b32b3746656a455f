"""A dataset's manifest: what it holds, how it was made, and the checksum of every shard."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.datasets.label import SCHEMA_VERSION
from opendactyl.files.atomic import read_json, sha256, write_json
from opendactyl.files.errors import InputError
from opendactyl.geometry.rig import Rig

MANIFEST_NAME = "manifest.json"


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
    value = read_json(path)
    try:
        if value["schema"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema {value['schema']}, this version reads {SCHEMA_VERSION}; "
                "make the dataset again"
            )
        return Manifest(**value | {"shards": [Shard(**shard) for shard in value["shards"]]})
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no dataset manifest ({error!r}); make it again") from error


def check_shard(folder: Path, shard: Shard) -> Path:
    """The path of a shard whose checksum holds.

    Raises:
        InputError: the shard is missing or its bytes are not those of the manifest.
    """
    path = folder / shard.name
    if not path.exists():
        raise InputError(
            f"the shard {path} is missing; `opendactyl dataset --resume` makes it again"
        )
    if sha256(path) != shard.sha256:
        raise InputError(
            f"the shard {path} is damaged: its checksum is not the manifest's; "
            "delete it and run `opendactyl dataset --resume` to make it again"
        )
    return path
