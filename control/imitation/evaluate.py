"""Imitation in closed loop, from other starts than the demonstration's."""

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scipy.stats import binomtest
from tqdm import tqdm

from opendactyl.control.bundle.imitation_session import ImitationSession, load_imitation
from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.estimation.recorded_poses import recorded_orientations
from opendactyl.control.evaluation.episodes import (
    EpisodeConfig,
    make_cameras,
    make_source,
    open_renderer,
)
from opendactyl.control.evaluation.evaluate import (
    EPISODES_FILE,
    EvaluateConfig,
    refuse_training_seed,
)
from opendactyl.control.imitation.demonstrate import recorded_program
from opendactyl.control.imitation.goal_rollout import Episode, make_goal_env, run_goal_episodes
from opendactyl.control.runtime.imitated_goals import ImitatedGoals
from opendactyl.control.runtime.interfaces import EndingGoals
from opendactyl.core.atomic_files import json_hash, read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import Forecast, open_run, removed_on_failure
from opendactyl.geometry.rotation import Array
from opendactyl.policy.imitation.predicate import completed, satisfied
from opendactyl.policy.imitation.programs import Program, check_object

UNUSED = (
    "task", "randomization", "seconds_per_goal", "action_delay", "against", "workers",
    "video_seconds",
)  # fmt: skip
"""Settings of `evaluate` and `run` that an imitation does not have."""
BATCH = 16
"""Episodes that run together."""
RESULT_BYTES = 1e5
"""Size of the results."""


def refuse_unused(config: EpisodeConfig) -> None:
    """Raises an `InputError` for options that have no effect on an imitation."""
    given = [
        f"--{field.name.replace('_', '-')}"
        for field in dataclasses.fields(config)
        if field.name in UNUSED and getattr(config, field.name) != field.default
    ]
    if given:
        raise InputError(f"{', '.join(given)} cannot be combined with --imitate; leave it out")


def run_with_goals(
    config: EpisodeConfig, bundle: Bundle, goals: Sequence[EndingGoals], first: int = 0
) -> list[Episode]:
    """Runs an episode for each goal source, with poses from where the settings say.

    Args:
        config: pose source, renderer, appearance and seed.
        bundle: estimator and policy.
        goals: the goal sources.
        first: number of the first episode.
    """
    env = make_goal_env(bundle, len(goals), config.seed, first=first)
    with ExitStack() as stack:
        renderer = None
        if config.pose == "vision":
            renderer = stack.enter_context(open_renderer(config.renderer, bundle))
        sources = [
            make_source(
                config, bundle, env, i,
                None if renderer is None else make_cameras(config, env, i, renderer),
            )
            for i in range(len(goals))
        ]  # fmt: skip
        return run_goal_episodes(bundle, env, sources, goals)


def evaluate_imitation(config: EvaluateConfig, demonstration: Path) -> dict[str, Any]:
    """Imitates a recording from other starts; writes and returns `results.json`.

    Raises:
        InputError: the bundle or the recording cannot be used.
        EnvironmentFailure: the disk or the renderer failed.
    """
    refuse_unused(config)
    bundle = load_bundle(config.bundle)
    check_object(bundle.object_name)
    refuse_training_seed(config.seed, bundle)
    network = load_imitation(bundle)
    program = recorded_program(demonstration)
    track = recorded_orientations(demonstration)
    out, path = config.out, config.out / EPISODES_FILE
    with removed_on_failure(out, lambda: exists(path)):
        meant = {"program": program and str(program)}
        open_run(out, _settings(config, bundle, track) | meant, resume=config.resume)
        records: list[dict[str, Any]] = read_json(path) if exists(path) else []
        _imitate(config, bundle, (network, track), program, records)
    results = summarize(records[: config.episodes]) | meant
    write_json(out / "results.json", results)
    return results


def _imitate(
    config: EvaluateConfig, bundle: Bundle, demonstrated: tuple[ImitationSession, Array],
    program: Program | None, records: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Adds the records of the episodes that are missing, and writes them."""
    forecast = Forecast(config.out, config.episodes, after=0, written=RESULT_BYTES)
    with tqdm(total=config.episodes, initial=len(records), unit="episode") as bar:
        while (first := len(records)) < config.episodes:
            count = min(BATCH, config.episodes - first)
            goals = [ImitatedGoals(*demonstrated, seed=first + i) for i in range(count)]
            for goal, episode in zip(
                goals, run_with_goals(config, bundle, goals, first), strict=True
            ):
                records.append(record(episode, program) | {"goals": goal.reached})
            write_json(config.out / EPISODES_FILE, records)
            bar.update(count)
            forecast.update(len(records))


def record(episode: Episode, program: Program | None) -> dict[str, Any]:
    """What counts of an episode; without a program success is not known."""
    found: dict[str, Any] = {"done": episode.done, "actions": len(episode.track) - 1}
    if program is not None:
        found["success"] = episode.done and satisfied(program, episode.track)
        found["completed"] = completed(program, episode.track)
    return found


def summarize(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates of success and of ending, with their 95 % Wilson intervals."""
    n = len(records)
    ended = sum(r["done"] for r in records)
    found: dict[str, Any] = {"n": n, "ended": ended / n}
    if all("success" in r for r in records):
        successes = sum(r["success"] for r in records)
        found["success"] = successes / n
        interval = binomtest(successes, n).proportion_ci(method="wilson")
        found["success_interval_95"] = [float(interval.low), float(interval.high)]
    return found


def _settings(config: EvaluateConfig, bundle: Bundle, track: Array) -> dict[str, Any]:
    """The settings that a resumed evaluation must share."""
    names = ("pose", "fuse", "appearance", "renderer", "seed")
    return {name: getattr(config, name) for name in names} | {
        "bundle_sha256": bundle.identity,
        "demonstration_sha256": json_hash(track.round(6).tolist()),
    }
