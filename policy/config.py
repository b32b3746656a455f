"""Settings of policy training."""

from dataclasses import dataclass
from pathlib import Path

from opendactyl.files.errors import InputError
from opendactyl.models.actor_critic import MEMORIES
from opendactyl.policy.env import EnvConfig


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Settings of `train-policy`."""

    task: str = "spin"
    """spin, face-up or reorient."""
    out: Path | None = None
    """Run folder; default runs/policy-TASK."""
    memory: str = "lstm"
    """lstm, or none: its feed-forward twin of equal size."""
    randomization: str = "none"
    """Physics and observation randomization."""
    object: str = "block"
    """The object in the hand: block or prism."""
    layout: str = "default"
    """What the policy sees: default, d18 or joints."""
    num_envs: int = 512
    """Simulations that run at once."""
    horizon: int = 16
    """Actions per simulation between two updates; also the length of the memory's sequences."""
    max_minutes: float = 60.0
    """Training time; --resume goes on with what is left of it."""
    seed: int = 0
    """Seed of everything random."""
    hidden: int = 256
    """Units of each layer."""
    learning_rate: float = 5e-4
    """Adam's step size."""
    epochs: int = 4
    """Passes over each batch."""
    minibatches: int = 4
    """Parts a batch is split into, by simulations."""
    gamma: float = 0.99
    """Discount per action."""
    gae_lambda: float = 0.95
    """The lambda of GAE (D18 Table 10)."""
    clip: float = 0.2
    """PPO's clipping range (D18 Table 10)."""
    entropy: float = 0.001
    """Weight of the entropy bonus."""
    teacher_share: float = 0.45
    """Share of the time for a feed-forward teacher that sees everything; 0 trains without."""
    clone_share: float = 0.2
    """Share of the time in which the policy learns the teacher's actions while it acts itself
    (D19's policy cloning); PPO has the rest."""
    warm_start: Path | None = None
    """A run of the same memory and layout whose weights this one starts from."""
    resume: bool = False
    """Continue an interrupted run, or start what is not there yet."""

    def check(self) -> None:
        """Raises an `InputError` for settings that cannot be trained."""
        EnvConfig(task=self.task, layout=self.layout, object=self.object)
        if self.memory not in MEMORIES:
            raise InputError(f"no memory {self.memory!r}; choose {' or '.join(MEMORIES)}")
        if self.randomization != "none":
            raise InputError(f"no randomization {self.randomization!r}; the presets are: none")
        if self.num_envs < 1 or self.num_envs % self.minibatches:
            raise InputError(
                f"--num-envs {self.num_envs} must be a positive multiple of --minibatches "
                f"{self.minibatches}"
            )
        if self.max_minutes <= 0:
            raise InputError(f"--max-minutes is {self.max_minutes}; it must be positive")
        if not 0 <= self.teacher_share + self.clone_share < 1:
            raise InputError("--teacher-share and --clone-share must leave time for PPO")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or Path("runs") / f"policy-{self.task}"
