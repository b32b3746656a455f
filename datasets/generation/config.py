"""What a dataset is made from: the verb's settings, and their resolved form.

Imports neither MuJoCo nor GL, so that a process can read a recipe before it chooses a backend.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.render.appearance.config import AppearanceConfig, load_appearance

IMAGE_FORMATS = ("jpeg", "png")
HOW_NOT_WHAT = ("out", "workers", "resume", "ray", "upload")
"""Settings that change no byte of a shard."""


def library_versions() -> dict[str, str]:
    """The versions of what decides a shard's bytes."""
    names = ("opendactyl", "mujoco", "gymnasium-robotics", "fast-simplification", "numpy", "pillow")
    return {name: version(name) for name in names}


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Settings of a dataset."""

    out: Path = Path("data/train")
    """Folder to write to."""
    num_samples: int = 20_000
    """Number of samples."""
    seed: int = 0
    """Seed; sample i depends on the seed and i, and on nothing else."""
    workers: int = 0
    """Worker processes; 0 is one per core."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    states: str = "settled"
    """Where states come from: settled, random, policy:BUNDLE, or mined:BUNDLE, which are those that
    the bundle's estimator gets wrong while its policy acts by sight."""
    appearance: str = "dactyl"
    """Appearance preset (dactyl, calibrated, wide) or a TOML file."""
    rig: str = "dactyl"
    """Camera rig: a shipped one by name, or a TOML file."""
    object: str = "block"
    """The object in the hand: block or prism."""
    image_size: int = 200
    """Width and height of the images in pixels."""
    shard_size: int = 250
    """Samples in a shard, at most 1,000."""
    image_format: str = "jpeg"
    """`jpeg`, or `png` for images without loss."""
    jpeg_quality: int = 95
    """JPEG quality of the images."""
    masks: bool = False
    """Store the classes of all pixels too; random backgrounds in training need them."""
    ray: str = ""
    """Spread the shards over a Ray cluster: its address, or auto."""
    upload: str = ""
    """Copy each complete shard to this fsspec URL as well (without --out, into
    train and val there)."""
    resume: bool = False
    """Continue an interrupted dataset, or start what is not there yet."""

    def check(self) -> None:
        """Raises an `InputError` for settings that no dataset can have."""
        from opendactyl.render.base import RENDERERS

        bounds = {
            "num_samples": (1, 10**8),
            "seed": (0, 2**63 - 1),
            "workers": (0, 1024),
            "image_size": (16, 4096),
            "shard_size": (1, 1000),
            "jpeg_quality": (1, 100),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                option = name.replace("_", "-")
                raise InputError(f"--{option} is {value}; it must be from {low} to {high}")
        if self.renderer not in RENDERERS:
            raise InputError(f"no renderer {self.renderer!r}; choose {' or '.join(RENDERERS)}")
        if self.image_format not in IMAGE_FORMATS:
            raise InputError(
                f"no image format {self.image_format!r}; choose {' or '.join(IMAGE_FORMATS)}"
            )

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.num_samples // self.shard_size)

    def bounds(self, number: int) -> tuple[int, int]:
        """First index, and one past the last, of shard `number`."""
        start = number * self.shard_size
        return start, min(start + self.shard_size, self.num_samples)


@dataclass(frozen=True, eq=False)
class ResolvedConfig:
    """Settings with everything they name looked up: enough to make any shard anywhere."""

    config: DatasetConfig
    rig: Rig
    """The nominal cameras at the dataset's image size."""
    ranges: AppearanceConfig
    fingerprint: str = ""
    """That of the state source."""

    @classmethod
    def resolve(cls, config: DatasetConfig) -> Self:
        """Looks up the rig and the appearance that the settings name."""
        config.check()
        rig = load_rig(config.rig).resized(config.image_size)
        return cls(config, rig, load_appearance(config.appearance))

    @classmethod
    def from_content(cls, content: dict[str, Any], config: DatasetConfig) -> Self:
        """The inverse of `content`; `config` says how and where.

        Raises:
            InputError: the content is not that of a dataset.
        """
        try:
            looked_up = ("rig", "appearance", "states_sha256")
            values = {k: v for k, v in content.items() if k not in looked_up}
            how = {name: getattr(config, name) for name in HOW_NOT_WHAT}
            settings = DatasetConfig(**values | how)
            settings.check()
            ranges: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v
                for k, v in dict(content["appearance"]).items()
            }
            rig, fingerprint = Rig.from_dict(content["rig"]), content.get("states_sha256", "")
            return cls(settings, rig, AppearanceConfig(**ranges), fingerprint)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{config.out} was made by another version of OpenDactyl ({error}); "
                "make the dataset again"
            ) from error

    def content(self) -> dict[str, Any]:
        """The settings that decide the samples' bytes, resolved, JSON-able."""
        plain = to_plain(self.config)
        for name in HOW_NOT_WHAT:
            del plain[name]
        if self.fingerprint:
            plain["states_sha256"] = self.fingerprint
        return plain | {"appearance": to_plain(self.ranges), "rig": self.rig.to_dict()}
