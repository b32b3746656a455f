"""Settings of a short training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opendactyl.policy.training import evaluation
from opendactyl.policy.training.config import PolicyConfig


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., PolicyConfig]:
    """Settings of a short run; options replace the defaults."""

    def settings(**options: Any) -> PolicyConfig:
        defaults = {"out": tmp_path / "run", "num_envs": 8, "horizon": 4, "minibatches": 2,
                    "epochs": 1, "max_actions": 256, "eval_episodes": 0}  # fmt: skip
        return PolicyConfig(**(defaults | options))

    return settings


@pytest.fixture
def short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation episodes end when a goal was not reached within a second."""
    monkeypatch.setattr(evaluation, "EVALUATION_SECONDS", 1.0)
