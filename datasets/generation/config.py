"""Settings of a dataset, as given on the command line and resolved.

Imports neither MuJoCo nor GL, so that a process can read a config before it chooses a backend.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.render.appearance.config import AppearanceConfig, load_appearance
from opendactyl.sim.assets.storage import (
    KINDS,
    check_stored,
    hand_settings,
    identity_settings,
    require_identity,
    store_copy,
    stored_reference,
)
from opendactyl.sim.hands.spec import DEFAULT_HAND, HandSpec
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.objects.spec import ObjectSpec
from opendactyl.sim.scenery.reference import reference_of, surroundings

IMAGE_FORMATS = ("jpeg", "png")
RUN_SETTINGS = ("out", "workers", "resume", "ray", "upload")
"""Settings that do not change the bytes of a shard."""
GENERATION_VERSION = 2
"""Incremented when the same settings give other bytes. An unfinished dataset of another version is
refused: its shards would come from two versions."""
LIBRARIES = ("opendactyl", "mujoco", "gymnasium-robotics", "fast-simplification", "numpy", "pillow")
"""Libraries that determine the bytes of a shard."""


def uses_opengl(renderer: str, states: str) -> bool:
    """Whether a dataset's generation needs OpenGL: `classic` does, and mining renders with it."""
    return renderer == "classic" or states.startswith("mined:")


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """The installed versions of libraries."""
    return {name: version(name) for name in names}


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Settings of a dataset."""

    out: Path = Path("data/train")
    """Folder to write to."""
    num_samples: int = 20_000
    """Number of samples."""
    seed: int = 0
    """Seed; sample i depends on the seed and i only; states of a policy also on --shard-size."""
    workers: int = 0
    """Worker processes; 0 is one per core."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    states: str = "settled"
    """Source of the states: settled, random, policy:BUNDLE (roll-outs of its policy), mined:BUNDLE
    (those with the largest error of its estimator); scene, with --scene."""
    appearance: str = "dactyl"
    """Appearance preset (dactyl, calibrated, wide) or a TOML file."""
    rig: str = "dactyl"
    """Camera rig: a shipped one by name, or a TOML file."""
    object: str = "block"
    """The object in the hand: block, prism, face-cube, or a TOML file."""
    hand: str = DEFAULT_HAND
    """The hand: shadow, shadow-e3m5, allegro, leap, or a TOML file; none, with --scene."""
    scene: str = ""
    """The scene around an object without a hand: a TOML file, an MJCF or a URDF."""
    image_size: int = 288
    """Width and height of the images in pixels; estimators with two stages need 288."""
    shard_size: int = 250
    """Samples in a shard, at most 1,000."""
    image_format: str = "jpeg"
    """`jpeg`, or `png` for images without loss."""
    jpeg_quality: int = 95
    """JPEG quality of the images."""
    masks: bool = False
    """Also store the class of each pixel; random backgrounds in training need it."""
    depth: bool = False
    """Also store depth images; with --export-bop, render them if the dataset has none."""
    ray: str = ""
    """Generate the shards on a Ray cluster: its address, or auto."""
    upload: str = ""
    """Also copy each complete shard to this fsspec URL (without --out, to its
    subfolders train and val)."""
    resume: bool = False
    """Continue an interrupted dataset, or start a new one if there is none."""

    def check(self) -> None:
        """Raises an `InputError` for invalid settings."""
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
        _ = self.surroundings

    @property
    def surroundings(self) -> str:
        """The hand or the scene, as `sim.scenery.reference.surroundings` takes it."""
        return reference_of(self.hand, self.scene)

    @property
    def shard_count(self) -> int:
        """Number of shards."""
        return -(-self.num_samples // self.shard_size)

    def bounds(self, number: int) -> tuple[int, int]:
        """Index of the first sample of shard `number`, and one past its last."""
        start = number * self.shard_size
        return start, min(start + self.shard_size, self.num_samples)


@dataclass(frozen=True, eq=False)
class ResolvedConfig:
    """Settings with rig, appearance and source resolved: enough to generate any shard anywhere."""

    config: DatasetConfig
    rig: Rig
    """The nominal cameras at the dataset's image size."""
    ranges: AppearanceConfig
    fingerprint: str = ""
    """Fingerprint of the state source."""
    object_identity: dict[str, Any] | None = None
    """`ObjectSpec.identity`: of an object that is not shipped."""
    hand_identity: dict[str, Any] | None = None
    """`HandSpec.identity`: of a hand that is not the default one."""
    scene_identity: dict[str, Any] | None = None
    """`Scenery.identity`, where there is no hand."""
    raw_rig: Rig | None = None
    """The cameras of raw frames, if `rig` shows regions of interest of them."""

    @classmethod
    def resolve(cls, config: DatasetConfig) -> Self:
        """Loads rig, appearance, object and hand or scene, which the settings name."""
        config.check()
        obj, raw = object_spec(config.object), load_rig(config.rig)
        hand = surroundings(config.surroundings)
        if hand.kind == "hand":
            config = dataclasses.replace(config, hand=hand.reference)
        config = dataclasses.replace(config, object=obj.reference)
        return cls(
            config,
            raw.views(config.image_size),
            load_appearance(config.appearance),
            object_identity=obj.identity,
            hand_identity=None if config.scene else hand.identity,
            scene_identity=hand.identity if config.scene else None,
            raw_rig=raw if any(c.roi for c in raw.cameras) else None,
        )

    @property
    def obj(self) -> ObjectSpec:
        """The object; raises an `InputError` if its files have changed since it was resolved."""
        obj = object_spec(self.config.object)
        require_identity(obj, self.object_identity)
        return obj

    @property
    def hand(self) -> HandSpec:
        """The hand or the scene; raises likewise."""
        hand = surroundings(self.config.surroundings)
        require_identity(hand, self.scene_identity or self.hand_identity)
        return hand

    def with_copies(self) -> Self:
        """Copies what is not shipped into the dataset's folder; settings with the copies."""
        out, stored = self.config.out, {}
        for item in (self.obj, self.hand):
            store_copy(item, out)
            stored[item.kind] = stored_reference(out.resolve(), item.kind, item.name)
        return dataclasses.replace(self, config=dataclasses.replace(self.config, **stored))

    @classmethod
    def from_content(cls, content: dict[str, Any], config: DatasetConfig) -> Self:
        """The inverse of `content`; `RUN_SETTINGS` are taken from `config`.

        The files of an object and a hand that are not shipped are read from the folder `out`.

        Raises:
            InputError: the content does not describe a dataset, or their files are changed.
        """
        try:
            identities = {f"{kind}_identity": content.get(f"{kind}_identity") for kind in KINDS}
            resolved = ("rig", "raw_rig", "appearance", "states_sha256", *identities)
            values: dict[str, Any] = {"hand": DEFAULT_HAND, "scene": ""}
            values |= {k: v for k, v in content.items() if k not in resolved}
            for kind in KINDS:
                check_stored(config.out, kind, identities[f"{kind}_identity"], config.out)
                values[kind] = stored_reference(config.out, kind, values[kind])
            run = {name: getattr(config, name) for name in RUN_SETTINGS}
            settings = DatasetConfig(**values | run)
            settings.check()
            ranges: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v
                for k, v in dict(content["appearance"]).items()
            }
            rig, fingerprint = Rig.from_dict(content["rig"]), content.get("states_sha256", "")
            raw = Rig.from_dict(content["raw_rig"]) if "raw_rig" in content else None
            appearance = AppearanceConfig(**ranges)
            return cls(settings, rig, appearance, fingerprint, **identities, raw_rig=raw)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{config.out} was made by another version of OpenDactyl ({error}); "
                "generate the dataset again"
            ) from error

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that determine the bytes of the shards."""
        loaded = ("onnxruntime",) if self.fingerprint else ()  # networks of a bundle
        return installed_versions((*LIBRARIES, *loaded))

    def content(self) -> dict[str, Any]:
        """The resolved settings that determine the bytes of the samples, as JSON values."""
        plain = to_plain(self.config)
        for name in (*RUN_SETTINGS, "hand", "scene"):
            del plain[name]
        if not plain["depth"]:  # as in datasets of versions without it
            del plain["depth"]
        if self.fingerprint:
            plain["states_sha256"] = self.fingerprint
        plain |= identity_settings(self.obj) | hand_settings(self.hand)
        if self.raw_rig is not None:
            plain["raw_rig"] = self.raw_rig.to_dict()
        return plain | {"appearance": to_plain(self.ranges), "rig": self.rig.to_dict()}
