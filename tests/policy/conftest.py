"""Settings of a short training, and a reader of its metrics."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opendactyl.policy.training.config import PolicyConfig


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., PolicyConfig]:
    """Settings of a short run; options replace the defaults."""

    def settings(**options: Any) -> PolicyConfig:
        defaults = {"out": tmp_path / "run", "num_envs": 8, "horizon": 4, "minibatches": 2,
                 "epochs": 1, "max_actions": 128, "eval_episodes": 0}  # fmt: skip
        return PolicyConfig(**(defaults | options))

    return settings


@pytest.fixture
def stages() -> Callable[[Path], list[str]]:
    """Reads the stage of each iteration of a run."""

    def read(run: Path) -> list[str]:
        rows = (run / "metrics.csv").read_text().splitlines()[1:]
        return [row.split(",")[0] for row in rows]

    return read
