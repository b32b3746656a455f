"""Settings of estimator training."""

from dataclasses import dataclass, field
from pathlib import Path

from opendactyl.datasets.augment import AugmentConfig
from opendactyl.files.errors import InputError
from opendactyl.models.pose import HEADS, POSE_NETWORKS


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """Settings of `train-vision`."""

    data: tuple[Path, ...] = (Path("data/train"),)
    """Training datasets, which are mixed."""
    val_data: Path = Path("data/val")
    """Validation dataset, of another seed."""
    out: Path = Path("runs/vision")
    """Run folder."""
    model: str = "landmark"
    """Network: landmark, or dactyl (D18 Table 12)."""
    head: str = "9d"
    """Rotation head: 9d, 6d or quaternion."""
    image_size: int = 128
    """Width and height the network sees; the images are downsized to it."""
    batch_size: int = 64
    """Samples in a batch (D18: 64 triplets)."""
    learning_rate: float = 2e-3
    """Peak step size of AdamW; it falls to zero along a half cosine as the time runs out."""
    weight_decay: float = 1e-4
    """AdamW's weight decay."""
    max_minutes: float = 60.0
    """Training time; --resume goes on with what is left of it."""
    max_epochs: int = 1000
    """Passes over the data, if the time allows."""
    average: float = 0.998
    """Decay of the weights' moving average, which is what is evaluated and exported."""
    workers: int = 1
    """Loader processes."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    accelerator: str = "auto"
    """Where to train: auto, cpu, gpu."""
    precision: str = "auto"
    """auto is bf16 where the hardware multiplies it natively, else 32 bits."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Ranges of the augmentation."""
    resume: bool = False
    """Continue an interrupted run, or start what is not there yet."""

    def check(self) -> None:
        """Raises an `InputError` for settings that cannot be trained."""
        if self.model not in POSE_NETWORKS:
            raise InputError(f"no model {self.model!r}; choose from {', '.join(POSE_NETWORKS)}")
        if self.head not in HEADS:
            raise InputError(f"no head {self.head!r}; choose from {', '.join(HEADS)}")
        if self.batch_size < 2:
            raise InputError(f"--batch-size is {self.batch_size}; it must be at least 2")
        if self.max_minutes <= 0 or self.max_epochs < 1:
            raise InputError("--max-minutes and --max-epochs must be positive")
        if self.precision not in ("auto", "32-true", "bf16-mixed", "16-mixed"):
            raise InputError(
                f"--precision is {self.precision!r}; choose auto, 32-true, bf16-mixed or 16-mixed"
            )
