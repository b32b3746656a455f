"""How reliably mistakes in the wiring of cameras are named, and how soon the loop reports them.

    python -P -m opendactyl.benchmarks.studies.wiring --recordings 100 --minutes 30

A bundle's policy moves the object, with true poses. Each recording has an appearance of its own.
Every kind of mistake is made in each recording, in another camera each time; `rig check` has to
name it and nothing else, and has to accept the recording as it is. The loop's monitor has to report
the mistake in the first seconds, and must not report any in minutes of right wiring.

The threshold `MIN_GAIN` was chosen on 45 recordings of the seeds 7001 and 7002, refused here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm, trange

from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.control.bundle.hand import HandInterface
from opendactyl.control.bundle.load import Bundle, load_bundle
from opendactyl.control.estimation.rig_check import find_mistakes
from opendactyl.control.runtime.interfaces import Fault, HandReading, Views
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.control.runtime.wiring import Mistake, mistakes
from opendactyl.core.atomic_files import read_json, write_json, write_text
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.core.run_dir import open_run, to_plain

CHOSEN_ON = (7001, 7002)
LOOP_EPISODE = 10_000
"""Number of the first episode of the loop with right wiring."""
RIGHT = "right wiring"

Moment = list[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class WiringConfig:
    """Settings of the study."""

    bundle: Path = Path("pretrained/reorient")
    """The bundle."""
    renderers: tuple[str, ...] = ("classic", "filament")
    """Renderers of the cameras' images."""
    recordings: int = 20
    """Number of recordings of each renderer; every kind of mistake is made in each."""
    seconds: float = 5.0
    """Length of a recording."""
    moments: int = 12
    """Frame sets of a recording that `rig check` tests."""
    minutes: float = 3.0
    """Length of the loop with right wiring, for each renderer."""
    appearance: str = "dactyl"
    """Appearance preset or TOML file."""
    seed: int = 7100
    """Seed of episodes and appearances."""
    out: Path = Path("runs/wiring")
    """Folder for table.md and results.json."""
    resume: bool = False
    """Keep the recordings that an interrupted study has measured, and go on."""

    def __post_init__(self) -> None:
        """Raises an `InputError` for values out of range."""
        if self.seed in CHOSEN_ON:
            raise InputError(f"--seed is {self.seed}, on which the threshold was chosen")
        if self.recordings < 0 or self.moments < 1 or not self.seconds > 0 or self.minutes < 0:
            raise InputError("--recordings, --moments, --seconds and --minutes must be positive")


def run(config: WiringConfig) -> dict[str, Any]:
    """Measures all rows and writes table and results.

    Raises:
        InputError: the bundle cannot be used.
        EnvironmentFailure: the renderer failed.
    """
    from opendactyl.benchmarks.support.episode_frames import EpisodeFrames, of_views  # slow

    bundle = of_views(load_bundle(config.bundle))
    settings = {k: v for k, v in to_plain(config).items() if k not in ("out", "resume")}
    results = open_run(config.out, settings, resume=config.resume) / "results.json"
    measured: dict[str, Any] = read_json(results)["measured"] if exists(results) else {}
    for kind in config.renderers:
        rows = measured.setdefault(kind, [])
        first, loop = (rows[-1]["recording"] + 1 if rows else 0), f"{kind}, loop"
        if loop in measured:
            continue
        with EpisodeFrames(bundle, kind, config.appearance, config.seed) as frames:
            for number in trange(first, config.recordings, desc=kind, unit="recording"):
                rows += _measure_recording(config, bundle, frames.since(number), number)
                _write(config, measured)
            measured[loop] = _measure_loop(config, bundle, frames.since(LOOP_EPISODE))
            _write(config, measured)
    return _write(config, measured)


def kinds(shapes: Sequence[tuple[int, ...]]) -> dict[str, list[Mistake]]:
    """The mistakes by kind: those of one camera or pair, and those of all cameras."""
    found: dict[str, list[Mistake]] = {}
    for mistake in mistakes(shapes):
        moved = sum(view != source for view, source in enumerate(mistake.sources))
        changed = [change for change in mistake.changes if change.defect()]
        if moved:
            name = "two cameras swapped" if moved == 2 else "three cameras in another order"
        else:
            who = "one camera" if len(changed) == 1 else "all cameras"
            name = f"{who} {changed[0].defect()}".replace("counter-clockwise", "clockwise")
        found.setdefault(name.replace(" clockwise", ""), []).append(mistake)
    return found


def made(mistake: Mistake, frames: Sequence[NDArray[np.uint8]]) -> Moment:
    """The frames as the mistake shows them: the inverse of its correction."""
    inverse = list(np.argsort(mistake.sources))
    # A reflection is its own inverse, a rotation is that of the other direction.
    undone = [
        change if change.mirrored else change._replace(turns=-change.turns % 4)
        for change in mistake.changes
    ]
    return [undone[int(v)](frames[int(v)]) for v in inverse]


def _measure_recording(
    config: WiringConfig, bundle: Bundle, stream: Iterator[Moment], number: int
) -> list[dict[str, Any]]:
    actions = max(1, round(config.seconds / bundle.period))
    recording = [next(stream) for _ in range(actions)]
    spread = np.linspace(0, actions - 1, min(actions, config.moments)).round().astype(int)
    names, rows = bundle.rig.names, []
    cases: list[tuple[str, Mistake | None]] = [(RIGHT, None)]
    for name, known in kinds([frame.shape for frame in recording[0]]).items():
        cases.append((name, known[number % len(known)]))
    for name, mistake in cases:
        shown = recording if mistake is None else [made(mistake, f) for f in recording]
        verdict = find_mistakes(bundle, [shown[i] for i in spread])
        found = [text for text, _ in verdict.mistakes]
        expected = [] if mistake is None else [mistake.describe(names)]
        rows.append(
            {
                "recording": number,
                "kind": name,
                "expected": expected,
                "found": found,
                "gains": [gain for _, gain in verdict.mistakes],
                "named": found == expected,
                "passed": verdict.passed,
                "offsets": verdict.offsets,
                "seconds_to_fault": _seconds_to_fault(bundle, shown, "".join(expected)),
            }
        )
    return rows


class _Played:
    """Frame sets as a camera source."""

    def __init__(self, frames: Sequence[Moment] | Iterator[Moment]) -> None:
        self._frames = iter(frames)

    def read(self) -> Views:
        return next(self._frames)

    def close(self) -> None:
        pass


def _seconds_to_fault(bundle: Bundle, recording: Sequence[Moment], expected: str) -> float | None:
    """The time from the first action to the loop's first fault `wiring` that says what is expected.

    Nothing in particular is expected of right wiring, whose text is empty.
    """
    source = VisionPose(bundle, _Played(recording))
    for action in range(len(recording)):
        fault = _wiring_fault(source, bundle.hand)
        if fault and expected in fault:
            return (action + 1) * bundle.period
    return None


def _wiring_fault(source: VisionPose, hand: HandInterface) -> str:
    try:
        # The hand is taken to be at rest, so that equal frames are no fault.
        source.pose(HandReading(np.zeros(len(hand.joints)), np.zeros((len(hand.fingertips), 3))))
    except Fault as fault:
        return str(fault) if fault.component == "wiring" else ""
    return ""


def _measure_loop(config: WiringConfig, bundle: Bundle, stream: Iterator[Moment]) -> dict[str, Any]:
    actions = round(config.minutes * 60 / bundle.period)
    source, faults = VisionPose(bundle, _Played(stream)), []
    for _ in tqdm(range(actions), desc=RIGHT, unit="action"):
        if text := _wiring_fault(source, bundle.hand):
            faults.append(text)
    minutes = actions * bundle.period / 60
    return {"actions": actions, "minutes": minutes, "faults": len(faults),
            "texts": sorted(set(faults))}  # fmt: skip


def _write(config: WiringConfig, measured: dict[str, Any]) -> dict[str, Any]:
    results = {"settings": to_plain(config), "measured": measured}
    write_json(config.out / "results.json", results)
    write_text(config.out / "table.md", make_table(measured))
    return results


def make_table(measured: dict[str, Any]) -> str:
    """A Markdown table."""
    lines = [
        "| renderer | wiring | n | named | fault within 3 s | slowest fault (s) | least gain |",
        "|---|---|---|---|---|---|---|",
    ]
    for renderer, rows in measured.items():
        if isinstance(rows, dict):
            what = f"{RIGHT}, {rows['minutes']:.1f} min"
            lines.append(f"| {renderer} | {what} | 1 | | {rows['faults']} faults | | |")
            continue
        for kind in dict.fromkeys(row["kind"] for row in rows):
            lines.append(_line(renderer, kind, [row for row in rows if row["kind"] == kind]))
    return "\n".join(lines) + "\n"


def _line(renderer: str, kind: str, rows: list[dict[str, Any]]) -> str:
    times = [row["seconds_to_fault"] for row in rows if row["seconds_to_fault"] is not None]
    soon = sum(seconds <= 3 for seconds in times)
    slowest = f"{max(times):.1f}" if times else ""
    least = min((gain for row in rows for gain in row["gains"][:1]), default=None)
    return (
        f"| {renderer} | {kind} | {len(rows)} | {sum(row['named'] for row in rows)} | {soon} | "
        f"{slowest} | {'' if least is None else f'{least:.2f}'} |"
    )


def _table(config: WiringConfig) -> str:
    run(config)
    return (config.out / "table.md").read_text()


if __name__ == "__main__":
    prepare_gl(renders=True)
    run_study("wiring", __doc__, WiringConfig, _table)
