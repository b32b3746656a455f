"""Compares the imitation network with an oracle and two baselines, on programs held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.benchmarks.support.imitation_agents import AGENTS, Shown, goals_of
from opendactyl.control.bundle.imitation_session import ImitationSession, load_imitation
from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.evaluation.episodes import EpisodeConfig
from opendactyl.control.evaluation.goal_statistics import compare_paired
from opendactyl.control.imitation.demonstrator import DemonstratorGoals, fits
from opendactyl.control.imitation.evaluate import record, run_with_goals, summarize
from opendactyl.control.imitation.goal_rollout import make_goal_env
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import CONFIG_NAME, open_run, removed_on_failure, to_plain
from opendactyl.policy.imitation.export import export_imitation
from opendactyl.policy.imitation.forms import ambiguous, programs_for_tests
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.programs import Program

ATTEMPTS = 4
"""Demonstrations tried of a program."""
RENDERED = 8
"""Programs that are rendered together, and written before the next: they take minutes."""


@dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Settings of the comparison."""

    bundle: Path
    """A bundle with an imitation network."""
    last: Path | None = None
    """A run of train-imitation --keyframes last, to compare with."""
    agents: tuple[str, ...] = tuple(AGENTS)
    """Which act: network, oracle, replay, waypoints, and with --last last."""
    programs: int = 40
    """Programs of different forms, with goals that no program of a training has."""
    starts: int = 25
    """Starts of each program."""
    pose: str = "sim"
    """Source of the pose, of the demonstrations too: sim or vision."""
    renderer: str = "classic"
    """`classic` or `filament`, for --pose vision."""
    seed: int = 7000
    """Seed of programs, demonstrations and starts; 9000 has the programs of the development."""
    out: Path = Path("runs/imitation-study")
    """Folder for table.md and results.json."""
    resume: bool = False
    """Continue an interrupted comparison."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if self.programs < 1 or self.starts < 1:
            raise InputError("--programs and --starts must be at least 1")
        if not self.agents or set(self.agents) - set(AGENTS):
            raise InputError(f"--agents is {self.agents}; choose from {', '.join(AGENTS)}")
        if self.agents == ("last",) and self.last is None:
            raise InputError(
                "--agents last needs a run of train-imitation --keyframes last: --last"
            )
        self.episodes(0)

    def episodes(self, seed: int) -> EpisodeConfig:
        """Settings of episodes."""
        return EpisodeConfig(
            bundle=self.bundle, pose=self.pose, renderer=self.renderer, seed=self.seed + seed
        )


def compare(config: ComparisonConfig) -> dict[str, Any]:
    """Runs every program with every agent; writes and returns the results.

    Raises:
        InputError: the bundle has no imitation network, or a run cannot be used.
        EnvironmentFailure: the disk or the renderer failed.
    """
    bundle = load_bundle(config.bundle)
    networks = {"network": load_imitation(bundle)}
    _check_training(config.bundle, bundle.manifest["imitation"]["training"], "all")
    if config.last is not None:
        _check_training(config.last, read_json(config.last / CONFIG_NAME), "last")
    plain = to_plain(config) | {"bundle_sha256": bundle.identity}
    out, path = config.out, config.out / "episodes.json"
    with removed_on_failure(out, lambda: exists(path)):
        open_run(out, {k: v for k, v in plain.items() if k != "resume"}, resume=config.resume)
        if config.last is not None:
            if not exists(out / "last.onnx"):
                export_imitation(config.last, out / "last.onnx")
            networks["last"] = ImitationSession(out / "last.onnx")
        rounds = _rounds(config, bundle, networks, path)
    results = {
        "settings": plain,
        "failed_demonstrations": sum(one["failed_demonstrations"] for one in rounds),
        "agents": _results(rounds),
    }
    write_json(out / "results.json", results)
    write_text(out / "table.md", make_table(results["agents"]))
    return results


def _check_training(path: Path, settings: dict[str, Any], keyframes: str) -> None:
    if settings.get("keyframes") != keyframes:
        raise InputError(f"{path} was not trained with --keyframes {keyframes}")
    if settings.get("demonstrations"):
        raise InputError(
            f"{path} was trained with --demonstrations, whose programs may be among those of this "
            "comparison; train one without"
        )


def _rounds(
    config: ComparisonConfig, bundle: Bundle, networks: dict[str, ImitationSession], path: Path
) -> list[dict[str, Any]]:
    """The records of all rounds; those that the file lacks are measured, and written."""
    rounds: list[dict[str, Any]] = read_json(path) if exists(path) else []
    programs = programs_for_tests(config.programs, config.seed)
    size = RENDERED if config.pose == "vision" else len(programs)
    firsts = [
        number * len(programs) + i
        for number in range(config.starts)
        for i in range(0, len(programs), size)
    ]
    for first in tqdm(firsts[len(rounds) :], initial=len(rounds), total=len(firsts), unit="round"):
        some = programs[first % len(programs) :][:size]
        rounds.append(_round(config, bundle, networks, some, first))
        write_json(path, rounds)
    return rounds


def _round(
    config: ComparisonConfig, bundle: Bundle, networks: dict[str, ImitationSession],
    programs: Sequence[Program], first: int,
) -> dict[str, Any]:  # fmt: skip
    """A demonstration and an episode of each program with each agent, from one set of starts.

    `first` is the number of the first episode.
    """
    shown = _demonstrations(config, bundle, programs, first)
    kept = [(p, seen) for p, seen in zip(programs, shown, strict=True) if seen is not None]
    found: dict[str, Any] = {"failed_demonstrations": len(programs) - len(kept)}
    for agent in config.agents:
        if agent == "last" and agent not in networks:
            continue
        goals = [goals_of(agent, networks, p, seen) for p, seen in kept]
        episodes = run_with_goals(config.episodes(100_000), bundle, goals, first) if goals else []
        found[agent] = [
            record(episode, p)
            | {
                "program": str(p),
                "goals": goal.reached,
                "demonstration_frames": len(seen.observed),
                "ambiguous": ambiguous(p, seen.waypoints),
            }
            for episode, goal, (p, seen) in zip(episodes, goals, kept, strict=True)
        ]
    return found


def _demonstrations(
    config: ComparisonConfig, bundle: Bundle, programs: Sequence[Program], begin: int
) -> list[Shown | None]:
    """Each demonstration; None if all attempts failed."""
    shown: list[Shown | None] = [None] * len(programs)
    number, offset = divmod(begin, config.programs)
    for attempt in range(ATTEMPTS):
        first = (number * ATTEMPTS + attempt) * config.programs + offset
        env = make_goal_env(bundle, len(programs), config.seed, first=first)
        env.reset()
        starts = env.object_pose()[1]
        goals = [
            DemonstratorGoals(p, np.random.default_rng([config.seed, first + i]))
            for i, p in enumerate(programs)
        ]
        for i, program in enumerate(programs):
            goals[i].done = shown[i] is not None or not fits(program, starts[i])
        wanted = [i for i, goal in enumerate(goals) if not goal.done]
        if not wanted:
            continue
        episodes = run_with_goals(config.episodes(0), bundle, goals, first)
        for i in wanted:
            if episodes[i].done and satisfied(programs[i], episodes[i].track):
                shown[i] = Shown(episodes[i].observed, np.array(goals[i].waypoints))
    return shown


def _results(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates of each agent, of all demonstrations and of those that show one program only."""
    records = {
        agent: [r for one in rounds for r in one[agent]] for agent in AGENTS if agent in rounds[0]
    }
    clear = {agent: [r for r in rows if not r["ambiguous"]] for agent, rows in records.items()}
    found = {agent: _rates(agent, records) for agent, rows in records.items() if rows}
    for agent, rates in found.items():
        rates["unambiguous"] = _rates(agent, clear) if clear[agent] else None
    return found


def _rates(agent: str, records: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Success and its ratio to the oracle's, with intervals over the programs.

    Starts of one program are alike, so that episodes are not independent.
    """
    successes, episodes = _by_program(records[agent])
    interval = compare_paired(successes, episodes)["interval_95"]
    rates = summarize(records[agent]) | {"success_interval_95": interval}
    if any(r["success"] for r in records.get("oracle", ())):
        compared = compare_paired(successes, _by_program(records["oracle"])[0])
        rates["ratio_to_oracle"] = compared["ratio"]
        rates["ratio_interval_95"] = compared["interval_95"]
    return rates


def _by_program(records: Sequence[dict[str, Any]]) -> tuple[list[int], list[int]]:
    """Successful and all episodes of each program, in the order of their names."""
    names = sorted({r["program"] for r in records})
    rows = [[r["success"] for r in records if r["program"] == name] for name in names]
    return [sum(row) for row in rows], [len(row) for row in rows]


def make_table(agents: dict[str, Any]) -> str:
    """A Markdown table."""
    columns = "n | success (95 %) | ratio to the oracle (95 %)"
    lines = [f"| agent | {columns} | unambiguous: {columns} |", "|---" * 7 + "|"]
    for agent, rates in agents.items():
        cells = [_cells(part) for part in (rates, rates["unambiguous"])]
        lines.append(f"| {AGENTS[agent]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cells(rates: dict[str, Any] | None) -> str:
    if rates is None:
        return "0 | |"
    low, high = rates["success_interval_95"]
    ratio = ""
    if "ratio_to_oracle" in rates:
        bounds = " to ".join(f"{bound:.2f}" for bound in rates["ratio_interval_95"])
        ratio = f"{rates['ratio_to_oracle']:.2f} ({bounds})"
    return f"{rates['n']} | {rates['success']:.3f} ({low:.3f} to {high:.3f}) | {ratio}"
