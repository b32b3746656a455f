"""Settings of `train-policy --driver msat`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.policy.interface.tasks import check_task
from opendactyl.policy.randomization.config import load_randomization

NETWORKS = ("msat", "single", "mlp")
_LIMITS = (
    (("num_envs", "horizon", "updates", "batch_size", "buffer", "chunk", "execute",
      "euler_steps"), lambda v: v >= 1, "at least 1"),
    (("seed", "eval_episodes", "max_actions"), lambda v: v >= 0, "at least 0"),
    (("learning_rate",), lambda v: 0 < v < 1, "in (0, 1)"),
    (("teacher_acts", "physics_dropout"), lambda v: 0 <= v <= 1, "in [0, 1]"),
    (("max_minutes",), lambda v: 0 < v < math.inf, "positive"),
)  # fmt: skip
"""Options, what is allowed, and its description."""


@dataclass(frozen=True, kw_only=True)
class MsatConfig:
    """Settings of a training run of the multi-stream action transformer."""

    driver: str = "msat"
    """The kind of policy: recurrent (an LSTM, trained by PPO) or msat (an action transformer, which
    imitates a recurrent policy); the other options are those of the kind."""
    teacher: Path | None = None
    """The policy to imitate, with layout default: a bundle, a run of train-policy --driver
    recurrent, or the .safetensors file of an LSTM policy."""
    vision: Path | None = None
    """Also train on the tokens of this bundle's estimator, from rendered images: first while the
    teacher acts, then from images. Without it, the pose is all that is observed of the object."""
    task: str = ""
    """spin, face-up or reorient; default: the teacher's, and no other."""
    hand: str = ""
    """The hand; default: the teacher's, and no other."""
    object: str = ""
    """The object; default: the teacher's, and no other."""
    out: Path | None = None
    """Run folder; default runs/policy-TASK-msat."""
    randomization: str = "none"
    """Physics and observation randomization: a preset, or a TOML file."""
    chunk: int = 8
    """Actions that are planned at once."""
    execute: int = 4
    """Actions of a plan that are executed before the next plan."""
    euler_steps: int = 4
    """Steps of the flow from noise to a plan."""
    network: str = "msat"
    """msat; for comparison single, one stream for everything, or mlp, which regresses chunks."""
    physics: bool = True
    """Whether the physics stream is observed; without it for comparison."""
    physics_dropout: float = 0.3
    """Fraction of the samples with a masked physics stream, so that hands without touch and forces
    can use the same weights."""
    teacher_acts: float = 0.5
    """Fraction of the first stage until which the teacher acts less and less; then the policy acts
    alone, and the teacher only says what it would have done (DAgger, arXiv 1011.0686)."""
    max_minutes: float = 60.0
    """Training time in total; --resume continues with the rest."""
    max_actions: int = 0
    """Also stop after this many actions; 0 means no limit."""
    num_envs: int = 64
    """Simulations that run at once; eight of them where images are rendered."""
    horizon: int = 32
    """Actions per simulation between two rounds of updates."""
    updates: int = 16
    """Steps of the optimizer per round."""
    batch_size: int = 256
    """Plans per step."""
    buffer: int = 2000
    """Actions per simulation that are kept to learn from."""
    learning_rate: float = 1e-3
    """Initial step size of AdamW; it falls to zero."""
    seed: int = 0
    """Random seed."""
    eval_episodes: int = 32
    """Episodes per evaluation during training, which selects the best checkpoint; 0 keeps the last
    policy, and so does --vision, whose last stages are not evaluated."""
    resume: bool = False
    """Continue an interrupted run, or start a new one."""

    def check(self) -> None:
        """Raises an `InputError` for invalid settings."""
        if self.teacher is None:
            raise InputError(
                "--driver msat imitates a policy: name it with --teacher BUNDLE, a run of "
                "train-policy, or a .safetensors file such as pretrained/weights/"
                "policy-reorient.safetensors"
            )
        if self.task:
            check_task(self.task)
        load_randomization(self.randomization)
        if self.network not in NETWORKS:
            raise InputError(f"no network {self.network!r}; choose {', '.join(NETWORKS)}")
        for names, allowed, text in _LIMITS:
            for name in names:
                if not allowed(value := getattr(self, name)):
                    raise InputError(f"--{name.replace('_', '-')} is {value}; it must be {text}")
        if self.execute > self.chunk:
            raise InputError(
                f"--execute {self.execute} is more than the --chunk {self.chunk} actions of a plan"
            )
        if self.buffer < 2 * (self.chunk + self.horizon):
            raise InputError(
                f"--buffer is {self.buffer}; it must be at least twice --chunk and --horizon"
            )
        if self.vision is not None and self.network == "mlp":
            raise InputError("--network mlp observes no tokens; leave --vision out")
        if not self.physics and self.network == "mlp":
            raise InputError("--network mlp has no physics stream; leave --no-physics out")

    def lasting(self) -> dict[str, Any]:
        """The settings a resumed run must share: all but folder, duration and hardware."""
        transient = ("out", "resume", "max_minutes", "max_actions", "eval_episodes")
        return {key: value for key, value in to_plain(self).items() if key not in transient}
