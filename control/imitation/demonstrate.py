"""Records a demonstration in simulation: `opendactyl demonstrate`."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.estimation.estimate import EstimateConfig, estimate
from opendactyl.control.estimation.recorded_poses import recorded_orientations
from opendactyl.control.evaluation.episodes import open_renderer
from opendactyl.control.evaluation.sim_adapters import SimPose
from opendactyl.control.imitation.demonstrator import DemonstratorGoals, fits
from opendactyl.control.imitation.goal_rollout import (
    DEMONSTRATED,
    make_goal_env,
    run_goal_episodes,
)
from opendactyl.core.atomic_files import write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import Forecast, new_folder, removed_on_failure
from opendactyl.policy.imitation.forms import ambiguous
from opendactyl.policy.imitation.predicate import satisfied, waypoints
from opendactyl.policy.imitation.programs import Program, check_object, load_program
from opendactyl.policy.imitation.tracks import Track
from opendactyl.render.appearance.config import Appearance, AppearanceConfig, load_appearance
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import RENDERERS
from opendactyl.render.episode_views import APPEARANCE_STREAM
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.state import State
from opendactyl.vision.raw_frames import raw_frame

PROGRAM_FILE = "program.toml"
"""In a recording whose program is known; the imitation network does not read it."""
ATTEMPTS = 12
"""Episodes tried, of which some end in a drop."""


@dataclass(frozen=True, kw_only=True)
class DemonstrateConfig:
    """Settings of `demonstrate`."""

    program: str
    """What to demonstrate: a shipped program by name, or a TOML file with a list of steps."""
    out: Path = Path("runs/demonstration")
    """Folder of the recording: CAMERA/0000.png …, poses.csv and the overlay as of `estimate`, and
    program.toml."""
    bundle: Path = Path("exports/bundle")
    """The bundle whose policy acts and whose estimator writes poses.csv."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    appearance: str = "dactyl"
    """Appearance preset or TOML file."""
    seed: int = 0
    """Seed of the start, of rests, detours and pauses, and of the appearance."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for unknown names and values out of range."""
        if self.renderer not in RENDERERS:
            raise InputError(f"no renderer {self.renderer!r}; choose {' or '.join(RENDERERS)}")
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; it must not be negative")
        load_program(self.program)
        load_appearance(self.appearance)


def demonstrate(config: DemonstrateConfig) -> Path:
    """Records a demonstration and estimates its poses; returns the folder.

    Raises:
        InputError: the settings cannot be used, or the policy does not carry out the program.
        EnvironmentFailure: the disk or the renderer failed.
    """
    program, bundle = load_program(config.program), load_bundle(config.bundle)
    check_object(bundle.object_name)
    out = config.out
    with removed_on_failure(out):
        new_folder(out, resume=None)
        states = perform(bundle, program, config.seed)
        _render(config, bundle, states, load_appearance(config.appearance), out)
        steps = ", ".join(f'"{step}"' for step in program.steps)
        write_text(out / PROGRAM_FILE, f"steps = [{steps}]\n")
        estimate(EstimateConfig(bundle=config.bundle, images=(out,), out=out))
    return out


def perform(bundle: Bundle, program: Program, seed: int) -> list[State]:
    """The states of a demonstration, one every control period.

    Of `ATTEMPTS` episodes the first in which the object shows no other program as well; if there
    is none, the first in which it shows this one.

    Raises:
        InputError: the policy does not carry out the program.
    """
    kept: list[State] = []
    for attempt in range(ATTEMPTS):
        states, only = _attempt(bundle, program, seed, attempt)
        if only:
            return states
        kept = kept or states
    if kept:
        return kept
    raise InputError(
        f"the policy of {bundle.path} did not carry out `{program}` in {ATTEMPTS} episodes; use a "
        "bundle of task reorient"
    )


def _attempt(bundle: Bundle, program: Program, seed: int, attempt: int) -> tuple[list[State], bool]:
    """The states of one episode, none if the program was not carried out.

    And whether they show no other program.
    """
    env = make_goal_env(bundle, 1, seed, first=DEMONSTRATED + attempt)
    env.reset()
    if not fits(program, env.object_pose()[1][0]):
        return [], False
    goals = DemonstratorGoals(program, np.random.default_rng([seed, attempt]))
    states: list[State] = []
    (episode,) = run_goal_episodes(
        bundle, env, [SimPose(env)], [goals], lambda: states.append(env.state(0))
    )
    if not (episode.done and satisfied(program, episode.track)):
        return [], False
    return states, not ambiguous(program, np.array(goals.waypoints))


def _render(
    config: DemonstrateConfig, bundle: Bundle, states: Sequence[State],
    appearance: AppearanceConfig, out: Path,
) -> None:  # fmt: skip
    """Writes CAMERA/0000.png … of the states, in one appearance."""
    names = bundle.rig.names
    for name in names:
        (out / name).mkdir()
    rng = np.random.default_rng([config.seed, APPEARANCE_STREAM])
    look = sample_appearance(rng, appearance, views=len(names), obj=object_spec(bundle.object))
    cameras = (bundle.raw_rig or bundle.rig).cameras
    pixels = sum(3 * camera.width * camera.height for camera in cameras)
    forecast = Forecast(out, len(states), written=len(states) * pixels)  # PNG needs less
    frames = rendered_frames(bundle, states, look, config.renderer)
    for number, views in enumerate(tqdm(frames, unit="frame", desc="rendering", total=len(states))):
        for name, image in zip(names, views, strict=True):
            Image.fromarray(image).save(out / name / f"{number:04d}.png")
        forecast.update(number + 1)


def rendered_frames(
    bundle: Bundle, states: Sequence[State], look: Appearance, renderer: str = "classic"
) -> Iterator[list[NDArray[np.uint8]]]:
    """Frames of the cameras of a bundle, as `estimate` takes them: raw ones, if it states them.

    Raw frames are black where the estimator does not look.
    """
    raw, size = bundle.raw_rig, bundle.estimator.image_size
    if raw is not None:
        pairs = zip(raw.cameras, bundle.rig.cameras, strict=True)
        size = math.ceil(size * max(camera.K[0, 0] / view.K[0, 0] for camera, view in pairs))
    rig = bundle.rig.resized(size)
    with open_renderer(renderer, bundle, size) as opened:
        for state in states:
            views = [image.copy() for image in opened.render(state, look)]
            if raw is not None:
                cameras = zip(views, rig.cameras, raw.cameras, strict=True)
                views = [raw_frame(*camera) for camera in cameras]
            yield views


def recorded_program(folder: Path) -> Program | None:
    """The program of a recording; None if it is not known.

    Raises:
        InputError: its file is not a program.
    """
    path = folder / PROGRAM_FILE
    return load_program(str(path)) if exists(path) else None


def recorded_track(folder: Path) -> Track:
    """A recording as a track to learn from.

    Raises:
        InputError: it has no poses or no program, the poses do not carry out the program, or one of
            its actions moves nothing.
    """
    program, track = recorded_program(folder), recorded_orientations(folder)
    if program is None:
        raise InputError(
            f"{folder} has no {PROGRAM_FILE}; write what was meant, such as steps = "
            '["up P", "then", "yaw 90"]'
        )
    found = waypoints(program, track)
    if found is None:
        raise InputError(
            f"the poses of {folder} do not carry out `{program}`: each of its goals must be held "
            "for 0.4 s within 0.4 rad, and the last until the end"
        )
    idle = np.flatnonzero(np.diff(found) == 0)
    if len(idle):
        raise InputError(
            f"in the recording {folder} nothing moves for `{program.actions[idle[0]]}` of "
            f"{PROGRAM_FILE}: its goal is reached already; leave the step out"
        )
    return Track(program, track, found)
