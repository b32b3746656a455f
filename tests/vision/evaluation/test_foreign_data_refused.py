"""Data of other software that cannot be used is refused in one line."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.shards import encode_image
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate


def change(path, edit):
    """Edits the entries of all images in a table."""
    table = json.loads(path.read_text())
    for entry in table.values():
        edit(entry)
    path.write_text(json.dumps(table))


def bop_data(folder):
    return Path(f"bop:{folder}")


def moved_models(bop):
    path = bop / "models/models_info.json"
    change(path, lambda entry: entry.update(min_x=0.0))


def second_instance(bop):
    for path in (bop / "test").glob("*/scene_gt_left.json"):
        change(path, lambda entry: entry.append(entry[0]))


def lost_sensor(bop):
    (bop / "test/000001/scene_gt_top.json").unlink()


def lost_image(bop):
    (bop / "test/000000/rgb_left/000001.png").unlink()


def damaged_image(bop):
    (bop / "test/000000/rgb_left/000000.png").write_bytes(b"no picture")


def lost_poses(bop):
    for camera in ("left", "right", "top"):
        (bop / f"test/000000/scene_gt_{camera}.json").unlink()


def lost_cameras(bop):
    for path in (bop / "test").glob("*/scene_camera_left.json"):
        change(path, lambda entry: entry.pop("cam_R_w2c"))
        path.rename(path.with_name("scene_camera_front.json"))
        gt = path.with_name("scene_gt_left.json")
        gt.rename(path.with_name("scene_gt_front.json"))
        (path.parent / "rgb_left").rename(path.parent / "rgb_front")


def wrong_world(bop):
    for path in (bop / "test").glob("*/scene_camera_left.json"):
        change(path, lambda entry: entry.update(cam_t_w2c=[0, 0, 900]))


def two_views(bop):
    for path in (bop / "test").glob("*/scene_*_top.json"):
        path.unlink()


def two_splits(bop):
    (bop / "test").rename(bop / "val")
    shutil.copytree(bop / "val", bop / "train")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (moved_models, "no object of .*models_info.json is the estimator's, the block of 57×57×57"),
        (second_instance, "image 0 shows object 1 2 times"),
        (lost_sensor, r"differ in their views \(left, right and left, right, top\)"),
        (two_views, "has 2 views, .* was trained with 3; train with --views 2"),
        (damaged_image, r"rgb_left.000000.png is not a picture that can be used .*restore or"),
        (lost_poses, r"000000 has no scene_gt.json, the table of the poses; restore it"),
        (lost_image, "no image 000001 in rgb_left or gray_left"),
        (lost_cameras, "no camera of that name; give the poses of the cameras with --rig"),
        (wrong_world, "mm apart; cam_R_w2c and cam_t_w2c must map one world"),
        (two_splits, "has the splits train, val; name one, bop:.*:train"),
        (lambda bop: shutil.rmtree(bop / "test"), "is no BOP dataset"),
        (shutil.rmtree, "there is no folder .*bop; name a BOP dataset by bop:DIR"),
    ],
)
def test_bop_data_that_cannot_be_used_is_refused(keypoint_run, bop, tmp_path, damage, message):
    damage(bop)
    with pytest.raises(InputError, match=message):
        evaluate(EvalConfig(model=keypoint_run, data=bop_data(bop), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"object": "prism", "poses": []}, "has poses of the object prism; the estimator's is"),
        ({"poses": [{"frame": "0000"}]}, "holds no poses"),
        ([], "holds no poses"),
        ({"poses": [{"frame": "x", "position": [0, 0, 0], "quaternion": [1, 0, 0, 0]}]},
         "belongs to pictures of all cameras .* its frames are x, the pictures 0000"),
    ],
)  # fmt: skip
def test_poses_that_cannot_be_used_are_refused(keypoint_run, tmp_path, content, message):
    for name in ("left", "right", "top"):
        (tmp_path / "in" / name).mkdir(parents=True)
        blank = np.zeros((8, 8, 3), np.uint8)
        (tmp_path / "in" / name / "0000.png").write_bytes(encode_image(blank, None))
    write_json(tmp_path / "in" / "poses.json", content)
    with pytest.raises(InputError, match=message):
        evaluate(EvalConfig(model=keypoint_run, data=tmp_path / "in", out=tmp_path / "out"))


def test_another_number_of_cameras_is_refused(keypoint_run, tmp_path):
    (tmp_path / "in" / "left").mkdir(parents=True)
    image = encode_image(np.zeros((8, 8, 3), np.uint8), None)
    (tmp_path / "in" / "left" / "0.png").write_bytes(image)
    write_json(tmp_path / "in" / "poses.json", {"poses": []})
    with pytest.raises(InputError, match=r"3 cameras, and right, top are missing: .* with --rig"):
        evaluate(EvalConfig(model=keypoint_run, data=tmp_path / "in", out=tmp_path / "out"))


def test_networks_of_the_cameras_of_training_are_refused(vision_run, exported, tmp_path):
    with pytest.raises(InputError, match="evaluate a run or bundle of train-vision --model key"):
        evaluate(EvalConfig(model=vision_run, data=bop_data(exported), out=tmp_path / "out"))


def test_a_rig_is_refused_for_our_datasets(keypoint_run, own_data, tmp_path):
    with pytest.raises(InputError, match="--rig is for data of other software"):
        evaluate(EvalConfig(model=keypoint_run, data=own_data, out=tmp_path / "out", rig="dactyl"))
