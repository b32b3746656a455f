"""Settings of `eval-vision`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Settings of `eval-vision`."""

    model: Path = Path("runs/vision")
    """A run of `train-vision`, or a bundle."""
    data: Path = Path("data/val")
    """The dataset to evaluate on; for a run of --model keypoint, with any cameras."""
    out: Path = Path("runs/eval-vision")
    """Folder for metrics.json and report.html."""
    cache: Path | None = None
    """Folder for the decoded images; by default .cache in the dataset, which must be writable."""
    coarse: bool = False
    """Measure the first stage of a run alone, as `export --coarse` would export it."""
    max_samples: int = 0
    """Use only the first N samples; 0 uses all."""
    resume: bool = False
    """Allow a folder that is not empty."""
