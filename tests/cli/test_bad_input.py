"""Bad input: one clear line, exit status 2, nothing overwritten."""

import json
import shutil

import pytest

from opendactyl.core.atomic_files import read_json, write_json

READERS = (("preview", "--data"), ("eval-vision", "--data"), ("train-vision", "--data"))
"""Verbs that read a dataset, and the option that names it."""


@pytest.fixture
def copies(tmp_path, dataset, val_dataset, bundle):
    """Copies of a training and a validation dataset and of a bundle, to be damaged."""
    for name, folder in (("train", dataset), ("val", val_dataset), ("bundle", bundle)):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns(".cache"))
    return tmp_path


@pytest.fixture
def read_data(refused, vision_run, copies):
    """Has a verb refuse the dataset in `train`."""
    others = {
        "train-vision": ("--val-data", "val", "--image-size", 64),
        "eval-vision": ("--model", vision_run),
    }
    return lambda verb, option: refused(verb, option, "train", *others.get(verb, ()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("trian-vision",), "the verbs are doctor, dataset, preview, train-vision"),
        (("dataset", "--num-sample", 3), "Unrecognized options: --num-sample, 3; did you mean"),
        (("preview", "--nope"), "Unrecognized options: --nope; `opendactyl preview --help`"),
        (("preview", "--samples", "some"), "Error parsing --samples"),
        (("preview", "--samples"), "Missing value for argument '--samples'"),
        (("run", "surplus"), "surplus"),
        (("doctor", "--all"), "doctor takes no options"),
        (("demo", "--samples", 3), "--samples must be at least 10"),
        (("train-policy", "--task", "juggle"), "spin, face-up, reorient"),
        (("train-vision", "--model", "oracle"), "landmark"),
        (("dataset", "--renderer", "ink"), "classic or filament"),
        (("dataset", "--states", "policy:nowhere"), "nowhere is no bundle"),
        (("dataset", "--num-samples", 0), "--num-samples is 0"),
    ],
)
def test_bad_usage(refused, arguments, said):
    assert said in refused(*arguments)


@pytest.mark.parametrize(
    ("verb", "first"),
    [
        ("preview", "opendactyl dataset"),
        ("train-vision", "make dataset"),
        ("eval-vision", "make train-vision"),
        ("export", "make train-vision"),
    ],
)
def test_typed_too_early_says_what_comes_first(refused, verb, first):
    assert first in refused(verb)


def test_exporting_before_the_policy_says_what_comes_first(refused, vision_run):
    assert "make train-policy" in refused("export", "--vision", vision_run)


def test_a_file_where_a_folder_should_be(refused, vision_run, policy_run, tmp_path):
    (tmp_path / "letter").write_text("dear")
    sources = ("--vision", vision_run, "--policy", policy_run)
    assert "is no bundle" in refused("export", *sources, "--out", tmp_path / "letter")
    assert "cannot use" in refused("export", *sources, "--out", tmp_path / "letter" / "bundle")
    assert (tmp_path / "letter").read_text() == "dear"


@pytest.mark.parametrize("options", [("--seconds", "nan"), ("--video", "film.gif")])
def test_a_film_that_cannot_be_made(refused, bundle, options):
    assert options[0] in refused("run", "--bundle", bundle, *options)


def test_recording_takes_no_other_options(refused, bundle):
    options = ("--record", "runs/a", "--out", bundle, "--task", "spin")
    assert "--record exports nothing" in refused("export", *options)


def test_an_unknown_gl_backend_lists_the_valid_ones(refused, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    assert "one of egl, osmesa, glfw" in refused("dataset")


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_a_missing_shard(read_data, copies, verb, option):
    (copies / "train/shard-000000.tar").unlink()
    said = read_data(verb, option)
    assert "shard-000000.tar" in said
    assert "missing" in said


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_a_truncated_shard(read_data, copies, verb, option):
    shard = copies / "train/shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-3000])
    assert "shard-000000.tar is damaged" in read_data(verb, option)


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_a_dataset_of_another_schema_version(read_data, copies, verb, option):
    path = copies / "train/manifest.json"
    write_json(path, read_json(path) | {"schema": 99})
    assert "schema 99" in read_data(verb, option)


@pytest.mark.parametrize(
    ("verb", "option"), [("evaluate", "--bundle"), ("run", "--bundle"), ("eval-vision", "--model")]
)
def test_a_bundle_with_a_wrong_checksum(refused, copies, verb, option):
    path = copies / "bundle/pose.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    data = ("--data", "val") if verb == "eval-vision" else ()
    assert "pose.onnx is wrong" in refused(verb, option, "bundle", *data)


@pytest.mark.parametrize(
    ("rig", "said"),
    [
        ("name = 'none'", "has no cameras"),
        (
            "[[camera]]\nname = 'a'\nwidth = 200\nheight = 200\nposition = [0, 0, 1]\n"
            "look_at = [0, 0, 0]\nup = [1, 0, 0]\nK = [[0, 0, 100], [0, 0, 100], [0, 0, 1]]",
            "K is singular",
        ),
        ("[[camera]", "cannot be used"),
    ],
)
def test_a_rig_without_cameras_or_with_a_singular_intrinsic(refused, tmp_path, rig, said):
    (tmp_path / "rig.toml").write_text(rig)
    assert said in refused("dataset", "--rig", "rig.toml", "--out", "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("dataset", ("--num-samples", 12, "--shard-size", 4, "--image-size", 64, "--seed", 5)),
        ("train-policy", ("--num-envs", 16, "--horizon", 4, "--minibatches", 2, "--epochs", 1)),
        ("train-vision", ("--image-size", 64, "--batch-size", 8, "--workers", 0)),
    ],
)
def test_resuming_a_folder_of_other_settings_names_them(
    refused, dataset, val_dataset, policy_run, vision_run, verb, options
):
    folders = {"dataset": dataset, "train-policy": policy_run, "train-vision": vision_run}
    data = ("--data", dataset, "--val-data", val_dataset) if verb == "train-vision" else ()
    out = folders[verb]
    said = refused(verb, *options, *data, "--out", out, "--resume", kept=[out])
    changed = {"dataset": "seed: 0 there, 5", "train-policy": "num_envs: 8 there, 16",
               "train-vision": "batch_size: 4 there, 8"}[verb]  # fmt: skip
    assert changed in said


def test_what_is_no_bundle_is_not_replaced(refused, tmp_path, vision_run, policy_run):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("dear")
    said = refused("export", "--vision", vision_run, "--policy", policy_run, "--out", "letters")
    assert "is no bundle" in said


def test_a_demo_does_not_start_in_a_folder_in_use(refused, tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/notes.txt").write_text("mine")
    assert "demo exists and is not empty" in refused("demo")


def test_resume_starts_what_is_not_there_yet(opendactyl, bundle, tmp_path):
    options = ("--bundle", bundle, "--seconds-per-goal", 0.2, "--episodes", 1, "--resume")
    done = opendactyl("evaluate", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = tmp_path / "runs/evaluate/results.json"
    first = json.loads(results.read_text())
    assert first["n"] == 1
    assert opendactyl("evaluate", *options, cwd=tmp_path).returncode == 0
    assert json.loads(results.read_text()) == first
