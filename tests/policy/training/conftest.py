"""Short trainings without reports."""

import pytest

from opendactyl.policy.training import train


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no reports, which takes longer than the runs; that of `policy_run` is tested."""
    monkeypatch.setattr(train, "write_report", lambda _: None)
