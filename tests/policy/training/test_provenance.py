"""Seeds of training, inherited from warm starts and teachers."""

import dataclasses
import json
import shutil

import pytest

from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.models.weights import about_weights, save_weights
from opendactyl.policy.export import training_record
from opendactyl.policy.loading import load_student
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.provenance import SEEDS_FILE, known_seeds
from opendactyl.policy.training.train import train


def record(seeds, complete=True):
    return {"seeds": seeds, "seeds_complete": complete}


@pytest.fixture
def untrained(tiny):
    """Settings that only run PPO, from the weights that are given."""
    return lambda **options: tiny(teacher_fraction=0.0, distillation_fraction=0.0, **options)


def test_a_run_records_the_seeds_of_all_its_ancestors(policy_run, untrained, tmp_path):
    first = train(untrained(out=tmp_path / "a", seed=7, warm_start=policy_run))
    second = train(
        untrained(out=tmp_path / "b", seed=5, teacher=first, warm_start=first, max_actions=32)
    )
    for name in ("last", "best"):
        checkpoint = load_checkpoint(second / f"checkpoints/{name}.ckpt")
        assert {k: checkpoint[k] for k in record([])} == record([0, 5, 7])
    assert read_json(second / SEEDS_FILE) == record([0, 5, 7])
    assert training_record(second)["seed"] == 5
    # Resuming keeps the record, even after the ancestors were deleted or replaced.
    shutil.rmtree(first)
    config = untrained(out=second, seed=5, teacher=first, warm_start=first, max_actions=64)
    train(dataclasses.replace(config, resume=True))
    assert known_seeds(second) == record([0, 5, 7])


def test_a_run_started_from_weights_without_a_record_is_incomplete(policy_run, untrained, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(load_student(policy_run), path, {"task": "spin"})
    run = train(untrained(seed=3, warm_start=path, max_actions=32))
    assert known_seeds(run) == record([3], complete=False)
    assert known_seeds(train(untrained(out=tmp_path / "b", warm_start=run, max_actions=32))) == (
        record([0, 3], complete=False)
    )


def test_runs_older_than_the_record_are_complete_only_without_ancestors(tmp_path):
    settings = {"seed": 4, "warm_start": None, "teacher": None}
    write_json(tmp_path / "config.json", settings)
    assert known_seeds(tmp_path) == record([4])
    write_json(tmp_path / "config.json", settings | {"warm_start": "runs/earlier"})
    assert known_seeds(tmp_path) == record([4], complete=False)


def test_bundles_and_weights_carry_the_seeds(policy_run, bundle, untrained, tmp_path):
    run = train(untrained(out=tmp_path / "a", seed=7, warm_start=policy_run, max_actions=32))
    out = export_bundle(
        ExportConfig(
            vision=bundle, policy=run, out=tmp_path / "bundle", weights=tmp_path / "weights"
        )
    )
    training = json.loads((out / "manifest.json").read_text())["training"]["policy"]
    assert {k: training[k] for k in record([])} == record([0, 7])
    weights = tmp_path / "weights/policy-spin.safetensors"
    assert about_weights(weights).items() >= record([0, 7]).items()
    assert known_seeds(weights) == record([0, 7])
