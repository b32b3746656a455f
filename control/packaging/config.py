"""Settings of `export`."""

from dataclasses import dataclass
from pathlib import Path

NO_POLICY = Path("none")
"""Value of `policy` for a pose-only bundle."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Settings of `export`."""

    vision: Path = Path("runs/vision")
    """The estimator: a run of train-vision, or a bundle."""
    policy: Path | None = None
    """The policy: a run of train-policy, or a bundle; default the run of the hardest task in
    runs/. `none` makes a pose-only bundle, which `opendactyl estimate` runs."""
    imitation: Path | None = None
    """An imitation network to add: a run of train-imitation, or a bundle that holds one."""
    task: str = ""
    """The bundle's task, where it is not that of the policy's training: a policy trained to
    reorient can also spin."""
    out: Path = Path("exports/bundle")
    """Output folder; an existing bundle is replaced, unless other files are in its folder."""
    rig: str | None = None
    """Name or TOML file of the rig of raw frames, with their sizes, lenses and regions of interest.
    Its cameras must be those of training, except for --model keypoint."""
    max_joint_speed: float | None = None
    """Largest speed of the joint targets in rad/s, for every actuator; `max_joint_speed` in the
    manifest may differ between them. Default: the fastest that the action's smoothing allows."""
    coarse: bool = False
    """Export the first stage of the estimator alone, which takes smaller images and less time."""
    quantize: Path | None = None
    """A dataset of the rig: quantizes the estimator's convolutions to 8 bits, calibrated on its
    samples. Smaller and faster, slightly less accurate."""
    cache: Path | None = None
    """Folder for the decoded images of datasets, which are read-only, as in train-vision."""
    weights: Path | None = None
    """Folder for the weights of networks that come from runs, as safetensors for --warm-start."""
    check: Path | None = None
    """Check this bundle and print its contract; exports nothing."""
    record: tuple[Path, ...] = ()
    """Add the results in these folders of evaluate and eval-vision to the manifest and model card
    of the bundle in --out; exports nothing."""
