"""Records videos of a bundle: the scene and the camera images, with poses and goal."""

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tqdm import tqdm

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.batched_loop import BatchedLoop
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_env,
    make_source,
    open_renderer,
)
from opendactyl.control.evaluation.evaluate import EvaluateConfig
from opendactyl.control.runtime.interfaces import PoseSource
from opendactyl.control.viewer.video_file import FORMATS, open_video
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import Forecast, new_folder
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.drawing import draw_pose
from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.env import HandEnv
from opendactyl.render.episode_views import AXIS_WIDTH, FRAME, SceneView
from opendactyl.sim.state import State
from opendactyl.sim.timing import CONTROL_PERIOD

FRAME_BYTES = 10_000
"""Size of a frame in a video."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(EpisodeConfig):
    """Settings of `run`."""

    pose: str = "vision"
    """Source of the pose: vision or sim."""
    appearance: str = "calibrated"
    """Appearance preset or TOML file, sampled once per episode."""
    episode: int = 0
    """Number of the episode, as in `evaluate`."""
    seconds: float = 24.0
    """Length of the video, unless the episode ends earlier."""
    video: Path = Path("runs/run.mp4")
    """The file to write, .mp4 or .webp (an animated picture)."""
    imitate: Path | None = None
    """Imitate the demonstration in this folder; the video ends with the last goal."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range and invalid paths."""
        super().__post_init__()
        if not CONTROL_PERIOD <= self.seconds < math.inf:
            raise InputError(f"--seconds is {self.seconds}; it must be at least {CONTROL_PERIOD}")
        if self.video.suffix not in FORMATS:
            raise InputError(f"--video is {self.video}; it must end in {' or '.join(FORMATS)}")
        if self.video.is_dir():
            raise InputError(f"--video is {self.video}, which is a folder; name a file")
        if self.episode < 0:
            raise InputError(f"--episode is {self.episode}; it must not be negative")


class VideoRecorder:
    """Runs an episode and composes its video frames."""

    def __init__(self, config: RunConfig) -> None:
        """Loads the bundle, opens the renderers and starts the episode."""
        self.bundle = load_bundle(config.bundle)
        self.env = self._make_env(config)
        with ExitStack() as stack:
            self._views = stack.enter_context(open_renderer(config.renderer, self.bundle))
            scene = SceneView(self.bundle.object, self.bundle.hand_reference, seed=config.seed)
            self._scene = stack.enter_context(closing(scene))
            self._cameras = make_cameras(config, self.env, 0, self._views)
            source = self._directed(make_source(config, self.bundle, self.env, 0, self._cameras))
            self.loop = BatchedLoop(self.bundle, self.env, [source], config.action_delay)
            self._opened = stack.pop_all()
        self._uses_cameras = config.pose == "vision"

    def _make_env(self, config: RunConfig) -> HandEnv:
        """The episode's simulation."""
        return make_env(config, self.bundle, 1, config.episode)

    def _directed(self, source: PoseSource) -> PoseSource:
        """The pose source, which may set the environment's goal."""
        return source

    def step(self) -> NDArray[np.uint8]:
        """Takes an action; returns the frame before it: scene on the left, cameras on the right."""
        env = self.env
        state, (goal, goals) = env.state(0), self._progress()
        if not self._uses_cameras:
            self._cameras.read()
        self.loop.step()
        scene = self._scene.frame(state, goal)
        controller = self.loop.controller
        draw_pose(
            scene,
            self._scene.camera,
            controller.position[0],
            controller.quaternion[0],
            width=AXIS_WIDTH,
        )
        self._caption(scene, goals, state, goal)
        views = [
            self._view(camera, np.asarray(image), state)
            for camera, image in zip(self.bundle.rig.cameras, self._cameras.images, strict=True)
        ]
        column = np.concatenate(views, axis=0)
        side = Image.fromarray(column).resize((FRAME * column.shape[1] // column.shape[0], FRAME))
        return np.concatenate([np.asarray(scene), np.asarray(side)], axis=1)

    def _progress(self) -> tuple[Array, int]:
        """The goal (4 + H,) and the number of goals reached before it."""
        return self.env.goal[0].copy(), int(self.env.goals[0])

    def _view(self, camera: Camera, image: NDArray[np.uint8], state: State) -> NDArray[np.uint8]:
        view = Image.fromarray(image).resize((FRAME // 3, FRAME // 3), Image.Resampling.BICUBIC)
        controller = self.loop.controller
        draw_pose(view, camera, controller.position[0], controller.quaternion[0], width=2)
        draw_pose(view, camera, state.position, state.quaternion)
        return np.asarray(view)

    def _caption(self, scene: Image.Image, goals: int, state: State, goal: Array) -> None:
        degrees = np.rad2deg(self.loop.error_rad[0])
        error = f"pose error {degrees:.1f} deg, {self.loop.error_m[0] * 1000:.1f} mm"
        legend = "axes: estimated; true, thin, in the views; the goal, pale, above"
        if len(state.hinges):
            angles, wanted = (
                ", ".join(f"{x:.0f}" for x in np.rad2deg(a)) for a in (state.hinges, goal[4:])
            )
            error += f", hinges {angles} of {wanted} deg"
        pen = ImageDraw.Draw(scene)
        for corner, text, size in (
            ((10, 6), f"goals {goals}", 26), ((10, 40), error, 15), ((10, FRAME - 24), legend, 13),
        ):  # fmt: skip
            # Readable on light and dark backgrounds.
            pen.text(corner, text, "white", font_size=size, stroke_width=2, stroke_fill="black")

    def close(self) -> None:
        """Closes the renderers."""
        self._opened.close()


def record_video(
    config: RunConfig, recorder_of: Callable[[RunConfig], VideoRecorder] = VideoRecorder
) -> Path:
    """Runs one episode and records it; returns its path.

    Raises:
        InputError: the settings or the bundle cannot be used, or the file cannot be written.
        EnvironmentFailure: the disk or the renderer failed.
    """
    folder = new_folder(config.video.parent, resume=True)
    actions = range(round(config.seconds / CONTROL_PERIOD))
    forecast = Forecast(folder, len(actions), written=len(actions) * FRAME_BYTES)
    with (
        closing(recorder_of(config)) as recorder,
        open_video(config.video, CONTROL_PERIOD) as append,
    ):
        for number in tqdm(actions, unit="action", desc="recording"):
            append(recorder.step())
            forecast.update(number + 1)
            if not recorder.env.running[0]:
                break
    return config.video


def record_median_video(config: EvaluateConfig, goals: list[int]) -> Path:
    """Runs the episode with the median number of goals again and records it; returns the path.

    Args:
        config: the evaluation's settings.
        goals: number of goals of each of its episodes.
    """
    median = sorted(range(len(goals)), key=lambda i: (goals[i], i))[(len(goals) - 1) // 2]
    shared = {name: getattr(config, name) for name in EpisodeConfig.__dataclass_fields__}
    video = config.out / "median.mp4"
    return record_video(
        RunConfig(**shared, episode=median, seconds=config.video_seconds, video=video)
    )
