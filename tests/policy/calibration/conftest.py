"""A small, well damped hand, whose fits take seconds."""

import shutil
from pathlib import Path

import pytest

HANDS = Path(__file__).parents[2] / "hands"
DAMPED = """
[parameters]
damping = { one_base = 0.2, one_tip = 0.2, two_base = 0.2, three_base = 0.2, three_tip = 0.2 }
friction_loss = { one_base = 0.002, one_tip = 0.002, two_base = 0.002, three_base = 0.002 }
"""


@pytest.fixture(scope="session")
def damped_hand(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the hand's file."""
    folder = tmp_path_factory.mktemp("damped")
    shutil.copy(HANDS / "claw.xml", folder)
    (folder / "claw.toml").write_text((HANDS / "claw.toml").read_text() + DAMPED)
    return str(folder / "claw.toml")
