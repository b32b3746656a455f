"""Wrong input: a clear message, exit status 2, no file overwritten."""

import json
import shutil

import pytest

from opendactyl.core.atomic_files import read_json, write_json

READERS = (("preview", "--data"), ("eval-vision", "--data"), ("train-vision", "--data"))
"""Verbs that read a dataset, and the option that names it."""


@pytest.fixture
def copies(tmp_path, dataset, val_dataset, bundle):
    """Copies of a training and a validation dataset and of a bundle, for tests to damage."""
    for name, folder in (("train", dataset), ("val", val_dataset), ("bundle", bundle)):
        shutil.copytree(folder, tmp_path / name, ignore=shutil.ignore_patterns(".cache"))
    return tmp_path


@pytest.fixture
def read_data(refused, vision_run, copies):
    """Runs a verb that must refuse the dataset in `train`."""
    others = {
        "train-vision": ("--val-data", "val", "--image-size", 64),
        "eval-vision": ("--model", vision_run),
    }

    def read(verb, option):
        if verb == "eval-vision":  # It refuses a seed of the training first.
            path = copies / "train/manifest.json"
            write_json(path, read_json(path) | {"seed": 77})
        return refused(verb, option, "train", *others.get(verb, ()))

    return read


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("trian-vision",),
            "the verbs are doctor, rig, object, hand, scene, dataset, preview, train-vision",
        ),
        (("doctor", "--all"), "doctor takes no options"),
        (("demo", "--samples", 3), "--samples must be at least 10"),
        (("train-policy", "--task", "juggle"), "spin, face-up, reorient"),
        (("train-policy", "--driver", "gru"), "choose recurrent or msat"),
        (("train-policy", "--driver", "msat"), "name it with --teacher BUNDLE"),
        (
            ("train-policy", "--driver=msat", "--teacher", "x", "--memory", "lstm"),
            "--memory belongs to --driver recurrent; leave it out",
        ),
        (("train-policy", "--chunk", 4), "--chunk belongs to --driver msat; leave it out"),
        (("train-policy", "--layout", "physics"), "--layout is physics; it must be default"),
        (
            ("train-policy", "--driver", "msat", "--teacher", "nowhere"),
            "--teacher nowhere does not exist",
        ),
        (("evaluate", "--action-delay", 99), "--action-delay is 99; it must be 0 to 12"),
        (("train-vision", "--model", "oracle"), "landmark"),
        (("dataset", "--renderer", "ink"), "classic or filament"),
        (("dataset", "--states", "policy:nowhere"), "nowhere is not a bundle"),
        (("dataset", "--num-samples", 0), "--num-samples is 0"),
        (("dataset", "--export-bop=data"), "--export-bop got 1 folders"),
        (("dataset", "--export_bop", "data"), "--export-bop got 1 folders"),
    ],
)
def test_wrong_values_are_refused_in_one_line(refused, arguments, message):
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("dataset", "--num-sample", 3),
            "Unrecognized options: --num-sample, 3 Perhaps you meant: --num-samples INT",
        ),
        (("preview", "--nope"), "For full helptext, run opendactyl preview --help"),
        (("preview", "--samples", "some"), "Error parsing --samples"),
        (("preview", "--samples"), "Missing value for argument '--samples'"),
        (("run", "surplus"), "surplus"),
    ],
)
def test_wrong_options_are_named_with_similar_ones(wrong_options, arguments, message):
    assert message in wrong_options(*arguments)


@pytest.mark.parametrize(
    ("verb", "first"),
    [
        ("preview", "opendactyl dataset"),
        ("train-vision", "make dataset"),
        ("eval-vision", "make train-vision"),
        ("export", "make train-vision"),
    ],
)
def test_missing_inputs_name_the_command_that_makes_them(refused, verb, first):
    assert first in refused(verb)


def test_exporting_without_a_policy_names_its_command(refused, vision_run):
    assert "make train-policy" in refused("export", "--vision", vision_run)


def test_a_file_where_a_folder_should_be(refused, vision_run, policy_run, tmp_path):
    (tmp_path / "file").write_text("dear")
    sources = ("--vision", vision_run, "--policy", policy_run)
    assert "is a file; name a folder" in refused("export", *sources, "--out", tmp_path / "file")
    assert "cannot use" in refused("export", *sources, "--out", tmp_path / "file" / "bundle")
    assert (tmp_path / "file").read_text() == "dear"


@pytest.mark.parametrize("options", [("--seconds", "nan"), ("--video", "video.gif")])
def test_impossible_videos_are_refused(refused, bundle, options):
    assert options[0] in refused("run", "--bundle", bundle, *options)


def test_recording_takes_no_other_options(refused, bundle):
    options = ("--record", "runs/a", "--out", bundle, "--task", "spin")
    assert "--record exports nothing" in refused("export", *options)


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_a_missing_shard_is_named(read_data, copies, verb, option):
    (copies / "train/shard-000000.tar").unlink()
    message = read_data(verb, option)
    assert "shard-000000.tar" in message
    assert "missing" in message


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_a_truncated_shard_is_named(read_data, copies, verb, option):
    shard = copies / "train/shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-3000])
    assert "shard-000000.tar is damaged" in read_data(verb, option)


@pytest.mark.parametrize(("verb", "option"), READERS)
def test_another_schema_version_is_refused(read_data, copies, verb, option):
    path = copies / "train/manifest.json"
    write_json(path, read_json(path) | {"schema": 99})
    assert "schema 99" in read_data(verb, option)


@pytest.mark.parametrize(
    ("verb", "option"), [("evaluate", "--bundle"), ("run", "--bundle"), ("eval-vision", "--model")]
)
def test_a_wrong_checksum_of_a_bundle_is_refused(refused, copies, verb, option):
    path = copies / "bundle/pose.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    data = ("--data", "val") if verb == "eval-vision" else ()
    assert "pose.onnx is wrong" in refused(verb, option, "bundle", *data)


@pytest.mark.parametrize(
    ("rig", "message"),
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
def test_invalid_rigs_are_refused(refused, tmp_path, rig, message):
    (tmp_path / "rig.toml").write_text(rig)
    assert message in refused("dataset", "--rig", "rig.toml", "--out", "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("dataset", ("--num-samples", 12, "--shard-size", 4, "--image-size", 64, "--seed", 5)),
        ("train-policy", ("--num-envs", 16, "--horizon", 4, "--minibatches", 2, "--epochs", 1)),
        ("train-vision", ("--image-size", 64, "--batch-size", 8, "--workers", 0)),
    ],
)
def test_resuming_with_other_settings_names_them(
    refused, dataset, val_dataset, policy_run, vision_run, verb, options
):
    folders = {"dataset": dataset, "train-policy": policy_run, "train-vision": vision_run}
    data = ("--data", dataset, "--val-data", val_dataset) if verb == "train-vision" else ()
    out = folders[verb]
    message = refused(verb, *options, *data, "--out", out, "--resume", kept=[out])
    difference = {"dataset": "seed: 0 there, 5", "train-policy": "num_envs: 8 there, 16",
               "train-vision": "batch_size: 4 there, 8"}[verb]  # fmt: skip
    assert difference in message


def test_export_does_not_replace_other_folders(refused, tmp_path, vision_run, policy_run):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/letter.txt").write_text("dear")
    message = refused(
        "export", "--vision", vision_run, "--policy", policy_run, "--out", "documents"
    )
    assert "is not a bundle" in message


def test_the_demo_needs_an_empty_folder(refused, tmp_path):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo/notes.txt").write_text("mine")
    assert "demo exists and is not empty" in refused("demo")


def test_resume_starts_a_new_run_too(succeeds, bundle, tmp_path):
    options = ("--bundle", bundle, "--seconds-per-goal", 0.2, "--episodes", 1, "--resume")
    succeeds("evaluate", *options, cwd=tmp_path)
    results = tmp_path / "runs/evaluate/results.json"
    first = json.loads(results.read_text())
    assert first["n"] == 1
    succeeds("evaluate", *options, cwd=tmp_path)
    assert json.loads(results.read_text()) == first
