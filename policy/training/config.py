"""Settings of policy training."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from opendactyl.core.config_fields import renamed
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import to_plain
from opendactyl.models.choices import FRAMES, MEMORIES, PRECISIONS
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import ActionConfig
from opendactyl.policy.interface.tasks import MAX_GOALS, TRAINING_SECONDS
from opendactyl.policy.randomization.adr import ADR_PRESETS, PolicyAdr
from opendactyl.policy.randomization.config import PRESETS, RandomizationConfig, load_randomization
from opendactyl.sim.assets.storage import hand_settings, identity_settings
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec

ADR_BASE = "dactyl"
"""Preset whose ranges are the unit of the bounds of automatic domain randomization."""
WEAKER_FRACTION = 0.4
"""Fraction of the episodes below the curriculum's strength, so that nothing is forgotten."""
_LIMITS: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("minibatches", "epochs", "horizon", "hidden"), lambda v: v >= 1, "at least 1"),
    (("eval_episodes", "max_actions", "ray_workers", "seed", "entropy", "target_kl"),
     lambda v: 0 <= v < math.inf, "at least 0"),
    (("gamma", "final_gamma", "gae_lambda"), lambda v: 0 < v <= 1, "in (0, 1]"),
    (("learning_rate", "final_learning_rate", "clip"), lambda v: 0 < v < 1, "in (0, 1)"),
    (("averaging",), lambda v: 0 <= v < 1, "in [0, 1)"),
    (("max_minutes",), lambda v: 0 < v < math.inf, "positive"),
    (("layout",), lambda v: v != "physics", "default, d18, joints or cube (all is measured)"),
)  # fmt: skip
"""Options, what is allowed, and its description."""


@dataclass(frozen=True, kw_only=True)
class PolicyConfig:
    """Settings of `train-policy`."""

    driver: str = "recurrent"
    """The kind of policy: recurrent, or msat, an action transformer: see `--driver msat --help`."""
    task: str = "spin"
    """spin, face-up, reorient or rotate-face."""
    out: Path | None = None
    """Run folder; default runs/policy-TASK."""
    memory: str = "lstm"
    """lstm; none, a feed-forward layer of equal size; or frames, which observes the last four."""
    privileged: bool = False
    """Train a teacher for later runs: the actor gets the critic's observation."""
    critic_memory: str = "none"
    """Memory of the critic, which observes the parameters of the physics: none or lstm."""
    randomization: str = "none"
    """Physics and observation randomization: none, dactyl, dactyl-loguniform, wide, vision, a TOML
    file, or automatic with the constants for a few cores (adr) or those of D19 (adr-d19)."""
    object: str = "block"
    """The object in the hand: block, prism, face-cube, or a TOML file."""
    hand: str = "shadow"
    """The hand: shadow, shadow-e3m5, allegro, leap, or a TOML file."""
    layout: str = "default"
    """The policy's observation: default, d18 (D18 Table 2), joints, or cube (faces look alike)."""
    action: str = "absolute"
    """Meaning of the bins: absolute, or relative to the current joint angle (D18 4.2)."""
    smoothing: float = 0.5
    """Fraction of the previous target that each action keeps (D18 footnote 15: 0.3)."""
    seconds_per_goal: float = TRAINING_SECONDS
    """Time allowed for each goal; an episode ends when it is over (D18 C.1; D19 6.1: 32)."""
    max_goals: int = MAX_GOALS
    """Goals after which a training episode ends."""
    strength_curriculum: bool = True
    """Begin with weak randomization, and strengthen it as goals are reached."""
    start_actions: int = 16
    """An episode starts after at most this many random actions (D18 C.1: 100)."""
    num_envs: int = 512
    """Simulations that run at once."""
    horizon: int = 16
    """Actions per simulation between two updates, which is the length of training sequences."""
    max_minutes: float = 60.0
    """Training time in total; --resume continues with the rest."""
    max_actions: int = 0
    """Also stop after this many actions; 0 means no limit. The stages divide the limit that is
    reached first."""
    seed: int = 0
    """Random seed."""
    hidden: int = 256
    """Units per layer."""
    precision: str = "auto"
    """32-true, bf16-mixed (matrix products in bf16), or auto: bf16-mixed if the CPU supports it."""
    accelerator: str = "auto"
    """Where the networks are trained: auto, cpu or gpu. Simulations run on the CPUs."""
    learning_rate: float = 5e-4
    """Adam's step size at the start."""
    final_learning_rate: float = 1e-4
    """Adam's step size at the end, if it is smaller; it decays linearly (D19 Table 14)."""
    target_kl: float = 0.01
    """The step size shrinks and grows with the KL divergence of an update; 0: it does not."""
    epochs: int = 4
    """Passes over each batch."""
    minibatches: int = 4
    """Minibatches per batch, split by simulations."""
    gamma: float = 0.99
    """Discount per action at the start."""
    final_gamma: float = 0.99
    """Discount per action at the end, if it is larger (D18 Table 10: 0.998)."""
    gae_lambda: float = 0.95
    """The lambda of GAE (D18 Table 10)."""
    clip: float = 0.2
    """PPO's clipping range (D18 Table 10)."""
    entropy: float = 0.001
    """Weight of the entropy bonus."""
    averaging: float = 0.9
    """Decay per update of the moving average of the weights, which is evaluated and exported; 0
    takes the latest weights."""
    teacher_fraction: float = renamed(0.45, "teacher_share")
    """Fraction of the time for a feed-forward teacher with privileged observations; 0: none."""
    distillation_fraction: float = renamed(0.2, "clone_share")
    """Fraction of the time for distillation: the policy acts and imitates the teacher (D19's policy
    cloning). PPO has the rest."""
    eval_episodes: int = renamed(64, "examined")
    """Episodes per evaluation during training, which selects the best checkpoint; 0 keeps the last
    policy."""
    warm_start: Path | None = None
    """Initial weights, of the same memory and the same or fewer observed fields: a run, or a
    .safetensors file, which has no teacher."""
    teacher: Path | None = None
    """The teacher: a run with --privileged and --memory none, that of another run, whose policy may
    have another memory (--teacher-fraction 0 leaves it unchanged), or the .safetensors file of an
    LSTM policy with the same layout."""
    ray: str = ""
    """Collect in processes of Ray: local, for a cluster on this machine, or the cluster at this
    address: auto, or HOST:PORT."""
    ray_workers: int = 0
    """Ray actors, which divide the simulations; 0 uses all CPUs of the cluster but one."""
    resume: bool = False
    """Continue an interrupted run, or start a new one."""

    def check(self) -> None:
        """Raises an `InputError` for invalid settings."""
        observed = sum(self.environment().observation_fields.values())
        if self.memory not in MEMORIES:
            raise InputError(f"no memory {self.memory!r}; choose one of {', '.join(MEMORIES)}")
        if self.critic_memory not in ("none", "lstm"):
            raise InputError(f"no critic memory {self.critic_memory!r}; choose none or lstm")
        past = (FRAMES - 1) * observed
        if self.memory == "frames" and (self.privileged or self.hidden < past):
            raise InputError(f"--memory frames needs --hidden {past} or more, without --privileged")
        if self.precision not in PRECISIONS:
            raise InputError(f"no precision {self.precision!r}; choose {', '.join(PRECISIONS)}")
        from opendactyl.models.accelerator import check_accelerator  # imports torch

        check_accelerator(self.accelerator)
        for names, allowed, text in _LIMITS:
            for name in names:
                if not allowed(value := getattr(self, name)):
                    raise InputError(f"--{name.replace('_', '-')} is {value}; it must be {text}")
        if self.num_envs < 1 or self.num_envs % self.minibatches:
            raise InputError(
                f"--num-envs {self.num_envs} must be a positive multiple of --minibatches "
                f"{self.minibatches}"
            )
        if self.ray_workers > self.num_envs:
            raise InputError(f"--ray-workers is more than --num-envs {self.num_envs}")
        self._check_stages()

    def _check_stages(self) -> None:
        """Checks the settings of teacher and distillation."""
        fractions = self.teacher_fraction, self.distillation_fraction
        if not (min(fractions) >= 0 and sum(fractions) < 1):
            raise InputError(
                f"--teacher-fraction {fractions[0]:g} and --distillation-fraction {fractions[1]:g} "
                "cannot be negative and must leave time for PPO"
            )
        if self.privileged and self.teacher_fraction > 0:
            raise InputError(
                "--privileged trains a teacher itself; it needs --teacher-fraction 0, and "
                "--distillation-fraction 0 unless it imitates a --teacher first"
            )
        if self.taught_by_policy and self.teacher_fraction > 0:
            raise InputError(
                f"--teacher {self.teacher} is a finished policy; it needs --teacher-fraction 0"
            )
        has_teacher = self.teacher is not None or (self.warm_start and self.warm_start.is_dir())
        if self.distillation_fraction > 0 and self.teacher_fraction == 0 and not has_teacher:
            raise InputError(
                "--distillation-fraction needs a teacher: give --teacher-fraction some time, name "
                "a run with --teacher, or set --distillation-fraction 0"
            )

    @property
    def uses_teacher(self) -> bool:
        """Whether a stage trains a teacher or imitates one."""
        return self.teacher_fraction + self.distillation_fraction > 0

    @property
    def taught_by_policy(self) -> bool:
        """Whether the teacher is a policy, without privileged observations."""
        return self.teacher is not None and self.teacher.suffix == ".safetensors"

    @property
    def adr(self) -> PolicyAdr | None:
        """The constants of automatic domain randomization, if it is chosen."""
        return ADR_PRESETS.get(self.randomization)

    @cached_property
    def ranges(self) -> RandomizationConfig:
        """The distributions of `randomization`; a file is read only once, by `check`.

        Those of automatic domain randomization are the unit of its bounds.
        """
        return load_randomization(ADR_BASE if self.adr else self.randomization)

    def environment(self) -> EnvConfig:
        """The environment's settings."""
        return EnvConfig(
            task=self.task,
            object=self.object,
            hand=self.hand,
            layout=self.layout,
            action=ActionConfig(mode=self.action, smoothing=self.smoothing),
            randomization=self.ranges,
            seconds_per_goal=self.seconds_per_goal,
            start_actions=self.start_actions,
            max_goals=self.max_goals,
            weaker_fraction=WEAKER_FRACTION if self.strengthens else 0.0,
        )

    def lasting(self) -> dict[str, Any]:
        """The settings a resumed run must share: all but folder, duration and hardware."""
        transient = (
            "out", "resume", "max_minutes", "max_actions", "examined", "precision", "accelerator",
            "ray", "ray_workers", "hand",
        )  # fmt: skip
        plain = {key: value for key, value in to_plain(self).items() if key not in transient}
        # A preset may have other ranges in another version.
        plain |= identity_settings(object_spec(self.object)) | hand_settings(hand_spec(self.hand))
        return plain | {"distributions": to_plain(self.ranges)}

    @property
    def strengthens(self) -> bool:
        """Whether the strength of the randomization follows the curriculum."""
        return self.strength_curriculum and self.adr is None and self.ranges != PRESETS["none"]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.out or Path("runs") / f"policy-{self.task}"
