"""What evaluation, films and the viewer share: a bundle's episodes in simulation, and its poses."""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.evaluation.sim_adapters import SimCameras, SimPose
from opendactyl.control.runtime.interfaces import PoseSource
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.errors import InputError
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.tasks import EVALUATION_SECONDS, check_task
from opendactyl.policy.randomization.config import RandomizationConfig, load_randomization
from opendactyl.render.appearance.config import AppearanceConfig, load_appearance
from opendactyl.render.base import RENDERERS, Renderer
from opendactyl.render.factory import make_renderer
from opendactyl.sim.hands.names import CONTROL_PERIOD

POSE_SOURCES = ("sim", "vision")


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig:
    """Settings of episodes in simulation."""

    bundle: Path = Path("exports/bundle")
    """The bundle whose estimator and policy act."""
    pose: str = "sim"
    """Where the pose comes from: sim or vision."""
    fuse: bool = False
    """Fuse the poses over time by their covariance and reject jumps."""
    task: str = ""
    """spin, face-up or reorient; default the bundle's own."""
    randomization: str = "none"
    """Physics and observation randomization, drawn once an episode: none, dactyl, vision, or a
    TOML file."""
    appearance: str = "dactyl"
    """Appearance preset or TOML file, drawn once an episode."""
    renderer: str = "classic"
    """`classic` or `filament`, for the estimator's views."""
    seed: int = 1000
    """Seed of starts, goals and appearances."""
    seconds_per_goal: float = EVALUATION_SECONDS
    """An episode ends when a goal is not reached for this long."""

    def __post_init__(self) -> None:
        """Refuses unknown names and impossible numbers."""
        if self.pose not in POSE_SOURCES:
            raise InputError(f"no pose source {self.pose!r}; choose {' or '.join(POSE_SOURCES)}")
        if self.renderer not in RENDERERS:
            raise InputError(f"no renderer {self.renderer!r}; choose {' or '.join(RENDERERS)}")
        if self.task:
            check_task(self.task)
        _ = self.ranges, self.look
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must not be negative")
        if not 0 < self.seconds_per_goal < math.inf:
            raise InputError(f"--seconds-per-goal is {self.seconds_per_goal}; it must be positive")

    @cached_property
    def ranges(self) -> RandomizationConfig:
        """What `randomization` names, as it was when the settings were made."""
        return load_randomization(self.randomization)

    @cached_property
    def look(self) -> AppearanceConfig:
        """What `appearance` names, likewise."""
        return load_appearance(self.appearance)


def make_env(
    config: EpisodeConfig, bundle: Bundle, count: int, first: int = 0, threads: int = 0
) -> HandEnv:
    """An environment of `count` evaluation episodes, the first numbered `first`.

    Raises:
        InputError: the bundle acts at another rate than the simulation.
    """
    if abs(bundle.period - CONTROL_PERIOD) > 1e-9:
        raise InputError(
            f"{bundle.path} acts every {bundle.period * 1000:g} ms; the simulated hand takes an "
            f"action every {CONTROL_PERIOD * 1000:g} ms"
        )
    settings = EnvConfig(
        task=config.task or bundle.task,
        object=bundle.object_name,
        randomization=config.ranges,
        seconds_per_goal=config.seconds_per_goal,
        evaluation=True,
    )
    return HandEnv(settings, count, seed=config.seed, first_episode=first, threads=threads)


def open_renderer(kind: str, bundle: Bundle) -> Renderer:
    """A renderer of the bundle's cameras at its estimator's size."""
    return make_renderer(
        kind,
        rig=bundle.rig,
        object_name=bundle.object_name,
        image_size=bundle.estimator.image_size,
    )


def make_cameras(
    config: EpisodeConfig, env: HandEnv, number: int, renderer: Renderer
) -> SimCameras:
    """The cameras of one simulation."""
    return SimCameras(env, number, renderer, config.look, config.seed)


def make_source(
    config: EpisodeConfig, bundle: Bundle, env: HandEnv, number: int, cameras: SimCameras | None
) -> PoseSource:
    """The pose source of one simulation; `cameras` are needed for sight."""
    source: PoseSource = SimPose(env, number)
    if config.pose == "vision":
        assert cameras is not None
        source = VisionPose(bundle, cameras)
    return FilteredPose(source) if config.fuse else source
