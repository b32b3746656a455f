"""Settings of `train-imitation`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain

KEYFRAMES = ("all", "last")


@dataclass(frozen=True, kw_only=True)
class ImitationConfig:
    """Settings of a training run of the imitation network."""

    out: Path = Path("runs/imitation")
    """The run folder."""
    bundle: Path = Path("exports/bundle")
    """The bundle whose policy demonstrates, and whose estimator's errors are the noise."""
    max_minutes: float = 60.0
    """Duration of the run, recording of the tracks included."""
    tracks: int = 640
    """Demonstrations recorded in batched physics before the training, by their poses alone."""
    demonstrations: tuple[Path, ...] = ()
    """Recordings to learn from as well: folders with poses.csv and program.toml."""
    keyframes: str = "all"
    """What the network gets of a demonstration: all keyframes or, for comparison, the last."""
    batch_size: int = 64
    """Demonstrations per step."""
    learning_rate: float = 2e-3
    """Initial step size of AdamW; it falls to zero."""
    seed: int = 0
    """Seed of tracks, programs and weights."""
    resume: bool = False
    """Continue an interrupted run, or start a new one."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if self.keyframes not in KEYFRAMES:
            raise InputError(f"--keyframes is {self.keyframes}; choose {' or '.join(KEYFRAMES)}")
        if not 0 < self.max_minutes < math.inf:
            raise InputError(f"--max-minutes is {self.max_minutes}; it must be positive")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"--learning-rate is {self.learning_rate}; it must be in (0, 1)")
        for name in ("tracks", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must not be negative")

    def lasting(self) -> dict[str, Any]:
        """The settings that a resumed run must share."""
        transient = ("out", "resume", "max_minutes", "bundle")
        return {key: value for key, value in to_plain(self).items() if key not in transient}
