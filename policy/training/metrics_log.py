"""The metrics of a run: `metrics.csv` and TensorBoard events."""

from collections import deque
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from opendactyl.core.adr_bounds import AdrBounds
from opendactyl.core.csv_log import append_row
from opendactyl.policy.collection.collector import Episodes

METRICS_FILE = "metrics.csv"
ADR_FILE, ADR_SCORES_FILE = "adr.csv", "adr_scores.csv"
"""Extents of the bounds of automatic domain randomization, and the mean scores in their buffers."""
FILES = (METRICS_FILE, ADR_FILE, ADR_SCORES_FILE)
COLUMNS = (
    "stage", "seconds", "actions", "actions_per_s", "goals", "dropped", "timed_out", "diverged",
    "max_angle", "strength", "adr_entropy", "objective", "critic", "entropy", "kl",
    "examined_goals",
)  # fmt: skip
"""The columns of `metrics.csv`."""
RECENT_EPISODES = 400
"""Episodes over which `goals` is averaged."""


class MetricsLog:
    """Appends one row per iteration; a context manager."""

    def __init__(self, folder: Path, columns: tuple[str, ...] = COLUMNS) -> None:
        """Opens the event file of a run folder; `columns` are those of its `metrics.csv`."""
        self._columns = columns
        self._path = folder / METRICS_FILE
        self._board = SummaryWriter(folder)
        self._extents: dict[str, float] = {}
        self._goals: deque[int] = deque(maxlen=RECENT_EPISODES)

    def __enter__(self) -> "MetricsLog":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the event file."""
        self._board.close()

    def restart_average(self) -> None:
        """Starts the average of `goals` anew, for another agent."""
        self._goals.clear()

    def episode_metrics(self, episodes: Episodes) -> dict[str, float]:
        """The columns that describe the episodes that ended in an iteration."""
        self._goals.extend(episodes.goals)
        ended = max(len(episodes.goals), 1)
        return {
            "goals": sum(self._goals) / max(len(self._goals), 1),
            "dropped": episodes.dropped / ended,
            "timed_out": episodes.timed_out / ended,
            "diverged": episodes.diverged,
        }

    def moved_bounds(self, bounds: AdrBounds | None, actions: int) -> dict[str, float]:
        """The column of automatic domain randomization; bounds that moved go into `adr.csv`.

        Args:
            bounds: the present bounds; None gives no column.
            actions: actions so far.
        """
        if bounds is None:
            return {}
        extents = {f"{b.parameter}/{b.end}": v for b, v in bounds.snapshot().extents.items()}
        if extents != self._extents:
            row = {"actions": actions} | extents
            append_row(self._path.with_name(ADR_FILE), tuple(row), row)
            self._extents = extents
        scores = {name: state["scores"] for name, state in bounds.to_dict().items()}
        means = {name: sum(s) / len(s) if s else "" for name, s in scores.items()}
        row = {"actions": actions} | means
        append_row(self._path.with_name(ADR_SCORES_FILE), tuple(row), row)
        return {"adr_entropy": bounds.entropy}

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row to `metrics.csv` and its numbers to the event file."""
        for key, value in row.items():
            if key != "stage":
                self._board.add_scalar(f"{row['stage']}/{key}", value, row["actions"])
        append_row(self._path, self._columns, row)
