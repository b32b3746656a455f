"""The whole chain with default paths: each verb finds the output of the one before."""

import csv

import numpy as np
import pytest
from PIL import Image

from opendactyl.core.atomic_files import read_json
from opendactyl.datasets.format.manifest import load_manifest

TOY = (
    ("dataset", "--num-samples", 20, "--shard-size", 10, "--image-size", 64, "--workers", 2),
    ("preview", "--samples", 2),
    ("train-vision", "--model", "dactyl", "--image-size", 64, "--batch-size", 4, "--max-epochs", 1,
     "--workers", 0, "--accelerator", "cpu"),
    ("eval-vision",),
    ("train-policy", "--num-envs", 8, "--horizon", 4, "--minibatches", 2, "--epochs", 1,
     "--eval-episodes", 2, "--max-minutes", 0.03),
    ("export",),
    ("evaluate", "--episodes", 2, "--seconds-per-goal", 0.4),
    ("evaluate", "--pose", "vision", "--episodes", 1, "--seconds-per-goal", 0.4,
     "--out", "runs/evaluate-vision"),
    ("run", "--seconds", 0.4),
)  # fmt: skip
"""Every step at toy size. The network is `dactyl`, whose export takes half as long as that of the
default network, which the fixture `bundle` covers."""


@pytest.fixture(scope="session")
def workplace(home, once, succeeds):
    """A folder in which the chain was run."""

    def run_chain(folder):
        folder.mkdir()
        for step in TOY:
            output = succeeds(*step, cwd=folder)
            with (folder / "output.txt").open("a") as file:
                file.write(output)

    return once(home / "workplace", run_chain)


def test_datasets_have_the_requested_size_and_different_seeds(workplace):
    train, val = (load_manifest(workplace / "data" / name) for name in ("train", "val"))
    assert (train.num_samples, val.num_samples) == (20, 2)
    assert [shard.name for shard in train.shards] == ["shard-000000.tar", "shard-000001.tar"]
    assert train.seed != val.seed


def test_the_contact_sheet_has_three_views_in_a_row(workplace):
    with Image.open(workplace / "preview.png") as sheet:
        assert sheet.size == (3 * 64, 2 * 64)
        assert np.asarray(sheet).std() > 20


@pytest.mark.parametrize("run", ["vision", "policy-spin"])
def test_training_writes_settings_checkpoints_and_curves(workplace, run):
    run = workplace / "runs" / run
    assert read_json(run / "config.json")["seed"] == 0
    for name in ("last", "best"):
        assert (run / "checkpoints" / f"{name}.ckpt").stat().st_size > 10_000
    with (run / "metrics.csv").open() as file:
        assert list(csv.DictReader(file))
    assert list(run.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("folder", ["vision/report", "eval-vision"])
def test_the_estimator_is_measured(workplace, folder):
    metrics = read_json(workplace / "runs" / folder / "metrics.json")
    assert metrics["n"] == 2
    assert 0 < metrics["rotation_error_deg"]["mean"] <= 180
    assert "<img" in (workplace / "runs" / folder / "report.html").read_text()


def test_the_loop_is_closed_with_both_pose_sources(workplace):
    sim, vision = (
        read_json(workplace / "runs" / name / "results.json")
        for name in ("evaluate", "evaluate-vision")
    )
    assert (sim["n"], vision["n"]) == (2, 1)
    assert sim["rotation_error_deg_in_loop"] == 0 < vision["rotation_error_deg_in_loop"]


def test_the_video_has_all_frames(workplace):
    import imageio.v3 as iio

    assert iio.imread(workplace / "runs/run.mp4", plugin="pyav").shape[0] == 5


def test_every_verb_prints_the_path_of_its_output(workplace):
    output = (workplace / "output.txt").read_text()
    for text in (
        "data/train", "data/val", "preview.png", "runs/vision/report/report.html",
        "runs/eval-vision/report.html", "runs/policy-spin", "bundle in exports/bundle",
        "using the bundle in exports/bundle", "runs/evaluate/report.html", "runs/run.mp4",
    ):  # fmt: skip
        assert text in output


INPUTS = {
    "train-vision": {"--data": "data/train", "--val-data": "data/val"},
    "eval-vision": {"--model": "runs/vision", "--data": "data/val"},
    "evaluate": {"--bundle": "exports/bundle"},
}
OUTPUTS = {
    "dataset": "data/train",
    "train-vision": "runs/vision",
    "eval-vision": "runs/eval-vision",
    "train-policy": "runs/policy-spin",
    "evaluate": "runs/evaluate",
}


@pytest.mark.parametrize("verb", OUTPUTS)
def test_running_it_again_overwrites_nothing(workplace, refused, verb):
    step = next(step for step in TOY if step[0] == verb)
    paths = INPUTS.get(verb, {}) | {"--out": OUTPUTS[verb]}
    named = [word for option, path in paths.items() for word in (option, workplace / path)]
    message = refused(*step, *named, kept=[workplace])
    assert "not empty" in message
    assert "--resume" in message
