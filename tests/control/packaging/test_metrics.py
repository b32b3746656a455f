import shutil

import pytest

from opendactyl.cli.main import main
from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
from opendactyl.control.evaluation.policy_states import RolloutStates
from opendactyl.control.packaging.metrics import record
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate as evaluate_vision


def settings(bundle, out, episodes, **options):
    return EvaluateConfig(
        bundle=bundle, out=out, episodes=episodes, seconds_per_goal=0.4, video_seconds=0, **options
    )


def test_measurements_are_added_to_the_manifest_and_the_card(
    bundle, dataset, val_dataset, tmp_path
):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    sim, vision = tmp_path / "sim", tmp_path / "vision"
    goals = evaluate(settings(copy, sim, episodes=2))["consecutive_successes"]
    held_out = generate(
        DatasetConfig(out=tmp_path / "data", num_samples=3, seed=9, image_size=64, workers=1)
    )
    errors = evaluate_vision(EvalConfig(model=copy, data=held_out, out=vision))
    identity, source = load_bundle(copy).identity, RolloutStates(copy).fingerprint
    with pytest.raises(SystemExit) as stop:
        main(["export", "--out", str(copy), "--record", str(sim), str(vision)])
    assert stop.value.code == 0
    bundle = load_bundle(copy)
    assert bundle.identity == identity
    # Datasets of its policy's states can still be resumed.
    assert RolloutStates(copy).fingerprint == source
    (loop,), (row,) = bundle.manifest["metrics"]["loop"], bundle.manifest["metrics"]["sight"]
    assert (loop["n"], loop["mean"], loop["pose"]) == (2, goals["mean"], "sim")
    assert loop["goals_per_100_actions"] >= 0 and loop["randomization_ranges"]["gravity"] == 0
    assert row["rotation_error_deg"] == errors["rotation_error_deg"]
    card = (copy / "README.md").read_text()
    assert f"| {row['rotation_error_deg']['mean']:.2f} |" in card
    assert f"| spin | sim | none | 0 | 1000 | 2 | {goals['mean']:.1f} |" in card
    shown = [f"{axis:.1%}" for axis in row["coverage_90_axes"]]
    for region, axes in (("rotation", shown[3:]), ("position", shown[:3])):
        of_region = f"{row[f'coverage_90_{region}']:.1%}"
        assert f"{of_region} (x, y, z: {', '.join(axes)})" in card
    del errors["coverage_90_axes"]  # as in evaluations of earlier versions
    write_json(vision / "metrics.json", errors)
    record(copy, [vision])
    assert "x, y, z:" not in (copy / "README.md").read_text()
    write_json(vision / "config.json", read_json(vision / "config.json") | {"states": "policy:a/b"})
    record(copy, [vision])
    assert "| policy of b | classic | 9 | 3 |" in (copy / "README.md").read_text()
    # A delay is another setting, and images with effects are no test of the estimator.
    evaluate(settings(copy, tmp_path / "late", episodes=2, action_delay=2))
    record(copy, [tmp_path / "late"])
    rows = load_bundle(copy).manifest["metrics"]["loop"]
    assert [row.get("action_delay") for row in rows] == [None, 2]
    assert "| spin | sim, actions 2 late | none |" in (copy / "README.md").read_text()
    write_json(vision / "config.json", read_json(vision / "config.json") | {"augment": {"blur": 1}})
    with pytest.raises(InputError, match="images with added effects"):
        record(copy, [vision])
    # The same settings replace the earlier row; the evaluation still resumes.
    evaluate(settings(copy, sim, episodes=3, resume=True))
    record(copy, [sim])
    assert [row["n"] for row in load_bundle(copy).manifest["metrics"]["loop"]] == [2, 3]
    chosen = EvalConfig(model=copy, data=val_dataset, out=tmp_path / "chosen")
    evaluate_vision(chosen)
    with pytest.raises(InputError, match="that selected the estimator"):
        record(copy, [chosen.out])
    with pytest.raises(InputError, match="trained on seed 0"):
        evaluate_vision(EvalConfig(model=copy, data=dataset, out=tmp_path / "trained"))
    for folder, change in ((sim, {"bundle_sha256": "0" * 64}), (vision, {"bundle_sha256": None})):
        write_json(folder / "config.json", read_json(folder / "config.json") | change)
        with pytest.raises(InputError, match="evaluation of another bundle"):
            record(copy, [folder])
    with pytest.raises(InputError, match="cannot read"):
        record(copy, [tmp_path])
