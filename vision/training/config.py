"""Settings of estimator training."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.models.choices import ACCELERATORS, HEADS, POSE_NETWORKS

CHOICES = {
    "model": POSE_NETWORKS,
    "head": tuple(HEADS),
    "balance": ("fixed", "focal"),
    "schedule": ("cosine", "halving"),
    "accelerator": ACCELERATORS,
    "augment_on": ("auto", "loader", "device"),
    "precision": ("auto", "32-true", "bf16-mixed", "16-mixed"),
}
"""Allowed values."""
SHIPPED_WEIGHTS = (
    Path(__file__).parents[2] / "pretrained" / "weights" / "pose-two-stages.safetensors"
)
SAME_TOWER = ("landmark", "keypoint")
"""Networks with the image towers of the shipped weights."""


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """Settings of `train-vision`."""

    data: tuple[Path, ...] = (Path("data/train"),)
    """Training datasets, concatenated."""
    val_data: Path = Path("data/val")
    """Validation dataset, of another seed."""
    out: Path = Path("runs/vision")
    """Run folder."""
    preset: str = "hour"
    """Source of the other defaults: quick (minutes), hour, cpu (a night), gpu (D18's budget)."""
    model: str = "landmark"
    """Network: landmark, keypoint (any cameras), dactyl (D18 Table 12), resnet18 or resnet50."""
    head: str = "9d"
    """Rotation head: 9d, 6d or quaternion."""
    image_size: int = 0
    """Width and height of the network's input; images are downsized to it. Models landmark and
    keypoint look at multiples of 48 from 192 in two stages: at all of a view, reduced to a third,
    and at the object closely. 0 is 288 where the images are that large, otherwise at most 128."""
    coarse: bool = False
    """One stage, for slow machines; with image size 0, of views of at most 128 pixels."""
    views: int = 0
    """Use only the rig's first N cameras; 0 uses all."""
    batch_size: int = 64
    """Batch size (D18: 64 triplets)."""
    balance: str = "fixed"
    """Weights of position and rotation: fixed, or focal (D19 C.3)."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    schedule: str = "cosine"
    """Decay of the learning rate: cosine, to a hundredth by the end of the training, or halving,
    every 20,000 batches (D18 D.2); an hour on two cores has 4,000."""
    weight_decay: float = 1e-4
    """AdamW's weight decay."""
    max_minutes: float = 60.0
    """Training time; --resume continues with the remainder."""
    max_epochs: int = 1000
    """Upper limit of epochs."""
    max_steps: int = 0
    """Upper limit of batches; 0 is none."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is evaluated and exported."""
    workers: int = 1
    """Data loader processes."""
    cache: Path | None = None
    """Folder for the decoded images; by default .cache in each dataset, which must be writable."""
    seed: int = 0
    """Seed of weights, sample order and augmentation."""
    accelerator: str = "auto"
    """auto, cpu or gpu."""
    devices: int = 0
    """Data-parallel processes, each with its own batches; 0 is one per GPU, or one."""
    precision: str = "auto"
    """auto is bf16 where the hardware multiplies it natively, otherwise 32 bits."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Ranges of the augmentation."""
    augment_on: str = "auto"
    """Where images are augmented: loader (Albumentations, on the CPU) or device (Kornia, whole
    batches); auto is the device if it is a GPU of CUDA."""
    warm_start: Path | None = None
    """Weights to start from: a run of the same network, or a .safetensors file; by default, models
    landmark and keypoint take the image tower of the shipped estimator."""
    from_scratch: bool = False
    """Start from random weights."""
    backbone: Path | None = None
    """A torchvision state dict for the towers of resnet18 and resnet50; nothing is downloaded."""
    mine: Path | None = None
    """A bundle for hard-example mining: before training, render states with large estimation errors
    from its closed loop into OUT-mined, and train on them as well (DeXtreme's replay)."""
    mine_samples: int = 4000
    """Number of mined samples."""
    resume: bool = False
    """Continue an interrupted run, or start a new one."""

    @property
    def starts_from_shipped_tower(self) -> bool:
        """Whether a new run takes the image tower of the shipped estimator."""
        chosen = self.from_scratch or self.warm_start or self.backbone
        return not chosen and self.model in SAME_TOWER

    @property
    def ancestor(self) -> Path | None:
        """The run or file of the trained weights that a new run starts from."""
        return SHIPPED_WEIGHTS if self.starts_from_shipped_tower else self.warm_start

    def check(self) -> None:
        """Raises an `InputError` for invalid settings."""
        if self.from_scratch and (self.warm_start or self.backbone):
            raise InputError("--from-scratch excludes --warm-start and --backbone")
        if self.starts_from_shipped_tower and not exists(SHIPPED_WEIGHTS):
            raise InputError("this installation has no weights to start from; add --from-scratch")
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise InputError(f"{_option(name)} is {value!r}; choose from {', '.join(allowed)}")
        if self.backbone is not None and not self.model.startswith("resnet"):
            raise InputError(f"--backbone is for resnet18 and resnet50, not for {self.model}")
        if self.model == "keypoint" and self.head != VisionConfig.head:
            raise InputError(
                f"--head is {self.head}; model keypoint has no rotation head: its rotation comes "
                "from the keypoints"
            )
        for name in (
            "image_size",
            "views",
            "workers",
            "seed",
            "weight_decay",
            "max_steps",
            "devices",
        ):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(f"{_option(name)} is {value}; it must not be negative")
        for name in ("learning_rate", "average"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise InputError(f"{_option(name)} is {value}; it must be between 0 and 1")
        if self.batch_size < 2:
            raise InputError(f"--batch-size is {self.batch_size}; it must be at least 2")
        if self.mine_samples < 1:
            raise InputError(f"--mine-samples is {self.mine_samples}; it must be at least 1")
        if not 0 < self.max_minutes < math.inf or self.max_epochs < 1:
            raise InputError("--max-minutes and --max-epochs must be positive")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


PRESETS = {
    "quick": VisionConfig(preset="quick", image_size=96, batch_size=32, max_minutes=5.0),
    "hour": VisionConfig(),
    "cpu": VisionConfig(preset="cpu", max_minutes=720.0, average=0.9995),
    # D18 4.2: 400,000 batches of 64 triplets; the time is only an upper limit.
    "gpu": VisionConfig(
        preset="gpu",
        max_minutes=4320.0,
        max_epochs=1_000_000,
        max_steps=400_000,
        workers=8,
        average=0.9995,
    ),
}
"""Defaults by training budget."""
