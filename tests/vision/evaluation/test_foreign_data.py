"""Evaluation on data of other software: a dataset of ours, exported, gives the same metrics."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from opendactyl.cli.main import main
from opendactyl.core.atomic_files import read_json, write_json
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest
from opendactyl.datasets.format.shards import encode_image
from opendactyl.geometry.rig_import.rig_toml import write_rig
from opendactyl.geometry.rotation import quat_to_matrix, rotvec_to_quat
from opendactyl.geometry.symmetry import NO_SYMMETRY
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.data import open_data
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.evaluation.models import open_model
from opendactyl.vision.measures.bop_errors import mspd
from opendactyl.vision.measures.predictions import Predictions, predict

SAMPLES = 3
FIELDS = (
    "position", "quaternion", "covariance", "true_position", "true_quaternion", "visible_fraction",
)  # fmt: skip


@pytest.fixture(scope="module")
def own_metrics(keypoint_run, own_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "out"
    return evaluate(EvalConfig(model=keypoint_run, data=own_data, out=out))


def change(path, edit):
    """Edits the entries of all images in a table."""
    table = json.loads(path.read_text())
    for entry in table.values():
        edit(entry)
    path.write_text(json.dumps(table))


def leaves(value):
    """The numbers of nested lists and dictionaries, in the order of the keys."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value)]
    return [x for item in value for x in leaves(item)] if isinstance(value, list) else [value]


def assert_equal_metrics(found, expected, without=()):
    assert found.keys() == expected.keys()
    for key in found.keys() - set(without):
        a, b = leaves(found[key]), leaves(expected[key])
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4, err_msg=key)


def pictures_of(data, folder):
    """Writes the images as `estimate` reads them, and the poses as it writes them."""
    poses = []
    for sample in iterate_samples(data):
        label = sample.label
        for camera, image in zip(label.cameras, sample.images, strict=True):
            (folder / camera.name).mkdir(parents=True, exist_ok=True)
            path = folder / camera.name / f"{label.index:04d}.png"
            path.write_bytes(encode_image(image, None))
        poses.append({"frame": f"{label.index:04d}", "position": label.position.tolist(),
                      "quaternion": label.quaternion.tolist()})  # fmt: skip
    write_json(folder / "poses.json", {"object": "block", "poses": poses})
    return folder


def test_a_bop_dataset_has_the_metrics_of_the_dataset(
    keypoint_run, exported, own_metrics, tmp_path, capsys
):
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["eval-vision", "--model", str(keypoint_run), "--data", f"bop:{exported}",
              "--out", str(out)])  # fmt: skip
    assert stop.value.code == 0
    assert f"n = {SAMPLES}:" in capsys.readouterr().out
    assert_equal_metrics(read_json(out / "metrics.json"), own_metrics)
    subject = read_json(out / "config.json")
    assert subject["seed"] is None and subject["chosen_by"] is False
    assert subject["format"] == "bop" and len(subject["config_hash"]) == 64
    report = (out / "report.html").read_text()
    assert "of out, test; the estimator uses the cameras that the data states" in report
    assert report.count("<img") == 5


def bop_data(folder, split=""):
    return Path(f"bop:{folder}{split}")


def test_cameras_may_differ_between_images(keypoint_run, bop, own_data):
    """Another world for one image moves its cameras and its pose alike."""
    turn, shift = quat_to_matrix(rotvec_to_quat([0.1, -0.2, 0.3])), np.array([0.005, -0.003, 0.004])
    for path in (bop / "test/000000").glob("scene_camera_*.json"):
        table = json.loads(path.read_text())
        rotation = np.reshape(table["1"]["cam_R_w2c"], (3, 3))
        table["1"]["cam_R_w2c"] = (rotation @ turn).ravel().tolist()
        table["1"]["cam_t_w2c"] = (1000 * rotation @ shift + table["1"]["cam_t_w2c"]).tolist()
        path.write_text(json.dumps(table))
    config = EvalConfig(model=keypoint_run, data=bop_data(bop))
    model, found = open_data(config, open_model(keypoint_run))
    true = [sample.label.position for sample in iterate_samples(own_data)]
    true[1] = turn.T @ (true[1] - shift)
    np.testing.assert_allclose(found.position, true, atol=1e-9)
    p = predict(model, found, SAMPLES)
    for number, position in enumerate(p.position):
        alone, *_ = model.estimate_batch(found.views(number)[None], found.rigs[number])
        np.testing.assert_allclose(alone[0], position, atol=1e-5)
    exact = dataclasses.replace(p, position=p.true_position, quaternion=p.true_quaternion)
    exact = dataclasses.replace(exact, position=exact.position + turn[0] * 1e-3)
    points = np.array(found.manifest.keypoints)
    pixels = mspd(exact, points, NO_SYMMETRY, found.rigs)
    np.testing.assert_array_less(pixels, 1)
    for number in range(SAMPLES):
        one = [np.array(getattr(exact, name))[number : number + 1] for name in FIELDS]
        expected = mspd(Predictions(*one), points, NO_SYMMETRY, found.rigs[number])
        np.testing.assert_allclose(pixels[number], expected[0])


def test_visibility_and_poses_of_cameras_may_be_missing(
    keypoint_run, bop, own_data, own_metrics, tmp_path
):
    (bop / "test").rename(bop / "real")
    for scene in (bop / "real").iterdir():
        (scene / "scene_gt_coco.json").write_text("{}")  # of BlenderProc, for example
    for path in (bop / "real").glob("*/scene_gt_info*.json"):
        path.unlink()
    for path in (bop / "real").glob("*/scene_camera*.json"):
        change(path, lambda entry: [entry.pop(key) for key in ("cam_R_w2c", "cam_t_w2c")])
    write_rig(load_manifest(own_data).load_rig(), tmp_path / "mine.toml", "")
    out = tmp_path / "out"
    found = evaluate(
        EvalConfig(model=keypoint_run, data=bop_data(bop, ":real"), out=out,
                   rig=str(tmp_path / "mine.toml"))
    )  # fmt: skip
    assert_equal_metrics(found, own_metrics, without=["by_visibility"])
    assert found["by_visibility"] == []
    assert (out / "report.html").read_text().count("<img") == 4


def test_pictures_with_poses_have_the_metrics_of_the_dataset(
    keypoint_run, own_data, own_metrics, tmp_path, capsys
):
    folder = pictures_of(own_data, tmp_path / "pictures")
    write_rig(load_manifest(own_data).load_rig(), folder / "rig.toml", "")
    content = read_json(folder / "poses.json")
    content["poses"].append(content["poses"][0] | {"frame": "0007"})
    write_json(folder / "poses.json", content)
    found = evaluate(EvalConfig(model=keypoint_run, data=folder, out=tmp_path / "out"))
    assert_equal_metrics(found, own_metrics, without=["by_visibility"])
    assert f"{SAMPLES} samples: of {SAMPLES} moments and 4 poses" in capsys.readouterr().err
