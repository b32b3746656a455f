"""Episodes of a bundle in simulation: settings, environment, cameras and pose source."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opendactyl.control.bundle.load import Bundle, PoseBundle
from opendactyl.control.evaluation.sim_adapters import SimCameras, SimPose
from opendactyl.control.runtime.interfaces import PoseSource
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS, check_seconds_per_goal, check_task
from opendactyl.policy.randomization.config import RandomizationConfig, load_randomization
from opendactyl.render.appearance.config import AppearanceConfig, load_appearance
from opendactyl.render.base import RENDERERS, Renderer
from opendactyl.render.factory import make_renderer
from opendactyl.sim.timing import CONTROL_PERIOD

POSE_SOURCES = ("sim", "vision")
MAX_DELAY = 12
"""Largest delay of the actions: about a second."""


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig:
    """Settings of episodes in simulation."""

    bundle: Path = Path("exports/bundle")
    """The bundle to run."""
    pose: str = "sim"
    """Source of the pose: sim or vision."""
    fuse: bool = False
    """Filter the poses by their covariance and reject jumps."""
    task: str = ""
    """spin, face-up, reorient or rotate-face; default the bundle's own."""
    randomization: str = "none"
    """Physics and observation randomization, sampled once per episode: none, dactyl,
    dactyl-loguniform, wide, vision, or a TOML file."""
    appearance: str = "dactyl"
    """Appearance preset or TOML file, sampled once per episode."""
    renderer: str = "classic"
    """`classic` or `filament`, for the estimator's images."""
    action_delay: int = 0
    """Actions after which the joint targets act, as over a slow link; beyond what `randomization`
    delays."""
    seed: int = 1000
    """Seed of initial states, goals and appearances."""
    seconds_per_goal: float = EVALUATION_SECONDS
    """An episode ends when a goal is not reached for this long."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for unknown names and values out of range."""
        if self.pose not in POSE_SOURCES:
            raise InputError(f"no pose source {self.pose!r}; choose {' or '.join(POSE_SOURCES)}")
        if self.renderer not in RENDERERS:
            raise InputError(f"no renderer {self.renderer!r}; choose {' or '.join(RENDERERS)}")
        if self.task:
            check_task(self.task)
        _ = self.randomization_ranges, self.appearance_ranges
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must not be negative")
        if not 0 <= self.action_delay <= MAX_DELAY:
            raise InputError(f"--action-delay is {self.action_delay}; it must be 0 to {MAX_DELAY}")
        check_seconds_per_goal(self.seconds_per_goal)

    @cached_property
    def randomization_ranges(self) -> RandomizationConfig:
        """The ranges that `randomization` names, read once."""
        return load_randomization(self.randomization)

    @cached_property
    def appearance_ranges(self) -> AppearanceConfig:
        """The ranges that `appearance` names, read once."""
        return load_appearance(self.appearance)


def check_period(bundle: Bundle) -> None:
    """Raises an `InputError` unless a bundle's control period is that of the simulation."""
    if abs(bundle.period - CONTROL_PERIOD) > 1e-9:
        raise InputError(
            f"the control period of {bundle.path} is {bundle.period * 1000:g} ms; the simulation "
            f"runs at {CONTROL_PERIOD * 1000:g} ms"
        )


def make_env(
    config: EpisodeConfig, bundle: Bundle, count: int, first: int = 0, threads: int = 0
) -> HandEnv:
    """Makes an environment of `count` evaluation episodes, the first with number `first`.

    Raises:
        InputError: the bundle's control period is not that of the simulation.
    """
    check_period(bundle)
    settings = EnvConfig(
        task=config.task or bundle.task,
        object=bundle.object,
        hand=bundle.hand_reference,
        randomization=config.randomization_ranges,
        seconds_per_goal=config.seconds_per_goal,
        evaluation=True,
    )
    return HandEnv(settings, count, seed=config.seed, first_episode=first, threads=threads)


def open_renderer(kind: str, bundle: PoseBundle, image_size: int = 0) -> Renderer:
    """Opens a renderer of the bundle's cameras at a size, by default that of its estimator."""
    return make_renderer(
        kind,
        rig=bundle.rig,
        object_name=bundle.object,
        hand=bundle.hand_reference,
        image_size=image_size or bundle.estimator.image_size,
    )


def make_cameras(
    config: EpisodeConfig, env: HandEnv, number: int, renderer: Renderer
) -> SimCameras:
    """Makes the cameras of simulation `number`."""
    return SimCameras(env, number, renderer, config.appearance_ranges, config.seed)


def make_source(
    config: EpisodeConfig, bundle: Bundle, env: HandEnv, number: int, cameras: SimCameras | None
) -> PoseSource:
    """Makes the pose source of simulation `number`; vision needs `cameras`."""
    source: PoseSource = SimPose(env, number)
    if config.pose == "vision":
        assert cameras is not None
        source = VisionPose(bundle, cameras, check_wiring=False)
    return FilteredPose(source) if config.fuse else source
