"""Settings of `eval-vision`."""

from dataclasses import dataclass, field
from pathlib import Path

from opendactyl.datasets.loading.augmentation_config import AugmentConfig


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `eval-vision`."""

    model: Path = Path("runs/vision")
    """A run of `train-vision`, or a bundle."""
    data: Path = Path("data/val")
    """The dataset to evaluate on. A run or bundle of --model keypoint takes any cameras, and also
    data of other software: bop:DIR or bop:DIR:SPLIT, a BOP dataset, or a folder with
    CAMERA/0000.png … and the poses.json of `estimate` as the truth."""
    rig: str | None = None
    """Rig file of such pictures; by default the rig.toml in their folder, or the cameras of
    training. For a BOP dataset: poses of cameras that it lacks, and regions of interest."""
    out: Path = Path("runs/eval-vision")
    """Folder for metrics.json and report.html."""
    cache: Path | None = None
    """Folder for the decoded images; by default .cache in the dataset, which must be writable."""
    coarse: bool = False
    """Measure the first stage of a run alone, as `export --coarse` would export it."""
    max_samples: int = 0
    """Use only the first N samples; 0 uses all."""
    augment: AugmentConfig = field(default_factory=AugmentConfig.none)
    """Effects that are added to the images, each with its probability; none by default."""
    resume: bool = False
    """Allow a folder that is not empty."""
