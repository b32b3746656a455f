"""Settings of a training that takes moments, and what to read of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opendactyl.policy.training.config import PolicyConfig


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., PolicyConfig]:
    """Makes settings of a run; options replace the usual ones."""

    def settings(**options: Any) -> PolicyConfig:
        usual = {"out": tmp_path / "run", "num_envs": 8, "horizon": 4, "minibatches": 2,
                 "epochs": 1, "max_actions": 128, "eval_episodes": 0}  # fmt: skip
        return PolicyConfig(**(usual | options))

    return settings


@pytest.fixture
def stages() -> Callable[[Path], list[str]]:
    """Reads the stage of each of a run's iterations."""

    def read(run: Path) -> list[str]:
        rows = (run / "metrics.csv").read_text().splitlines()[1:]
        return [row.split(",")[0] for row in rows]

    return read
