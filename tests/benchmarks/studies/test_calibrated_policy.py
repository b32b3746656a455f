"""The study of policies on fitted ranges, at toy size."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from opendactyl.benchmarks.studies import calibrated_policy
from opendactyl.benchmarks.studies.calibrated_policy import KINDS, StudyConfig, run
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.policy.calibration import fit as fit_module
from opendactyl.policy.randomization.config import load_randomization
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train

HANDS = Path(__file__).parents[2] / "hands"
SPIN = Path(__file__).parents[3] / "pretrained/weights/policy-spin.safetensors"
SHORT = {"num_envs": 8, "horizon": 4, "minibatches": 2, "epochs": 1, "eval_episodes": 0}


@pytest.fixture
def hand(tmp_path):
    shutil.copy(HANDS / "claw.xml", tmp_path)
    return str(shutil.copy(HANDS / "claw.toml", tmp_path))


@pytest.mark.slow
def test_policies_are_trained_on_fitted_ranges_and_compared_on_the_same_episodes(
    hand, tmp_path, monkeypatch, content, short_episodes
):
    monkeypatch.setattr(fit_module, "STAGES", ((6.0, 1.5, 30.0, 1),))
    training = calibrated_policy.TRAINING | SHORT
    monkeypatch.setattr(calibrated_policy, "TRAINING", training)
    start = train(PolicyConfig(hand=hand, out=tmp_path / "start", max_minutes=0.01, **training))
    config = StudyConfig(
        start=start, hand=hand, twins=1, seconds=21, minutes=0.01, episodes=2, threads=1,
        out=tmp_path / "study",
    )  # fmt: skip
    results = run(config)
    assert list(results["kinds"]) == list(KINDS)
    assert all(len(kind["goals"][0]) == 2 for kind in results["kinds"].values())
    ranges = tmp_path / "study/twin-0/ranges.toml"
    assert load_randomization(str(ranges)).hand == "claw"
    used = [read_json(tmp_path / "study" / run / "config.json")["randomization"]
            for run in ("twin-0/fitted", "dactyl")]  # fmt: skip
    assert used == [str(ranges), "dactyl"]
    assert "goals of each robot" in (tmp_path / "study/table.md").read_text()
    before = content(tmp_path / "study/twin-0")
    assert run(config) == results and content(tmp_path / "study/twin-0") == before
    with pytest.raises(InputError, match="episodes"):
        run(dataclasses.replace(config, episodes=3))
    # The second robot's fit was refused.
    fit = read_json(tmp_path / "study/twin-0/fit.json") | {"accepted": False}
    write_json(tmp_path / "study/twin-1/fit.json", fit)
    more = run(dataclasses.replace(config, twins=2))
    assert more["refused"] == [1] and more["kinds"] == results["kinds"]
    assert "left out: robots 1" in (tmp_path / "study/table.md").read_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": Path("nowhere.safetensors")}, "nowhere"),
        ({"seconds": 1.0}, "seconds"),
        ({"start": SPIN}, "another hand than"),
    ],
)
def test_wrong_settings_leave_no_folder(hand, tmp_path, wrong, message):
    settings = {"hand": hand, "start": SPIN, "out": tmp_path / "study"} | wrong
    if "seconds" in wrong:
        settings["hand"] = "shadow"
    with pytest.raises(InputError, match=message):
        run(StudyConfig(**settings))
    assert not (tmp_path / "study").exists()
