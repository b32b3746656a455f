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
from opendactyl.vision.evaluation.evaluate import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate as evaluate_vision


def settings(bundle, out, episodes, **options):
    return EvaluateConfig(
        bundle=bundle, out=out, episodes=episodes, seconds_per_goal=0.4, video_seconds=0, **options
    )


def test_what_was_measured_goes_into_the_manifest_and_the_card(
    bundle, dataset, val_dataset, tmp_path
):
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    sim, sight = tmp_path / "sim", tmp_path / "sight"
    goals = evaluate(settings(copy, sim, episodes=2))["consecutive_successes"]
    held_out = generate(
        DatasetConfig(out=tmp_path / "data", num_samples=3, seed=9, image_size=64, workers=1)
    )
    errors = evaluate_vision(EvalConfig(model=copy, data=held_out, out=sight))
    identity, source = load_bundle(copy).identity, RolloutStates(copy).fingerprint
    with pytest.raises(SystemExit) as stop:
        main(["export", "--out", str(copy), "--record", str(sim), str(sight)])
    assert stop.value.code == 0
    bundle = load_bundle(copy)
    assert bundle.identity == identity
    # Datasets of its policy's states are still those of this bundle.
    assert RolloutStates(copy).fingerprint == source
    (loop,), (seen,) = bundle.manifest["metrics"]["loop"], bundle.manifest["metrics"]["sight"]
    assert (loop["n"], loop["mean"], loop["pose"]) == (2, goals["mean"], "sim")
    assert seen["rotation_error_deg"] == errors["rotation_error_deg"]
    card = (copy / "README.md").read_text()
    assert f"| {seen['rotation_error_deg']['mean']:.2f} |" in card
    assert f"| spin | sim | none | 0 | 1000 | 2 | {goals['mean']:.1f} |" in card
    write_json(sight / "config.json", read_json(sight / "config.json") | {"states": "policy:a/b"})
    record(copy, [sight])
    assert "| policy of b | classic | 9 | 3 |" in (copy / "README.md").read_text()
    # The same settings again take the place of the first; the evaluation still resumes.
    evaluate(settings(copy, sim, episodes=3, resume=True))
    record(copy, [sim])
    assert [row["n"] for row in load_bundle(copy).manifest["metrics"]["loop"]] == [3]
    chosen = EvalConfig(model=copy, data=val_dataset, out=tmp_path / "chosen")
    evaluate_vision(chosen)
    with pytest.raises(InputError, match="by which the estimator was chosen"):
        record(copy, [chosen.out])
    with pytest.raises(InputError, match="trained on seed 0"):
        evaluate_vision(EvalConfig(model=copy, data=dataset, out=tmp_path / "trained"))
    for folder, change in ((sim, {"bundle_sha256": "0" * 64}), (sight, {"bundle_sha256": None})):
        write_json(folder / "config.json", read_json(folder / "config.json") | change)
        with pytest.raises(InputError, match="measured another bundle"):
            record(copy, [folder])
    with pytest.raises(InputError, match="cannot read"):
        record(copy, [tmp_path])
