"""The BOP export in bop_toolkit itself: its loaders, its ground-truth tools and its evaluation.

They run where BOP_TOOLKIT names a copy of github.com/thodan/bop_toolkit (of 2025) and its libraries
are installed: imageio, pypng and pytz; what renders needs vispy, too, and EGL.
"""

import importlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig

# The toolkit's warnings are its own.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

RUNNER = Path(__file__).with_name("toolkit_runner.py")
SIZE, SAMPLES = 64, 3
NAME = "lm"
"""The export's folder: the toolkit has tolerances for datasets of its own names."""
CHANGES = {
    "exact": lambda pose, _: pose,
    "equivalent": lambda pose, _: (pose[0] @ turned("z", 77) @ turned("x", 180), pose[1]),
    "quarter": lambda pose, _: (pose[0] @ turned("x", 90), pose[1]),
    "shifted": lambda pose, diameter: (pose[0], pose[1] + [[diameter], [0], [0]]),
}
"""Estimates to evaluate, by the true pose and the object's diameter."""


def turned(axis, degrees):
    return Rotation.from_euler(axis, degrees, degrees=True).as_matrix()


@pytest.fixture(scope="module")
def toolkit():
    folder = os.environ.get("BOP_TOOLKIT")
    if not folder:
        pytest.skip("BOP_TOOLKIT names no copy of bop_toolkit")
    require("imageio", "png", "pytz")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def scripts(toolkit):
    require("vispy", "OpenGL")
    return toolkit / "scripts"


@pytest.fixture
def library(toolkit, monkeypatch):
    """Imports a module of the toolkit by its name."""
    monkeypatch.syspath_prepend(toolkit)
    return lambda name: importlib.import_module(f"bop_toolkit_lib.{name}")


@pytest.fixture(scope="module", params=["block", "rod"])
def bop(request, toolkit, object_folder, tmp_path_factory):
    """An export of the block, without symmetries, or of a rod, which has both kinds."""
    folder = tmp_path_factory.mktemp(request.param)
    write_rig(Rig("one", load_rig("dactyl-200").cameras[:1]), folder / "one.toml", "")
    own = object_folder / f"{request.param}.toml"
    data = generate(
        DatasetConfig(out=folder / "data", num_samples=SAMPLES, shard_size=2, image_size=SIZE,
                      workers=1, rig=str(folder / "one.toml"),
                      object=str(own) if own.exists() else request.param)
    )  # fmt: skip
    return export_bop(data, folder / NAME, depth=True)


def require(*modules):
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"bop_toolkit needs {name}, which is not installed")


def read(path):
    return json.loads(path.read_text())


def run(bop, script, *options):
    """Runs a script of the toolkit on an export."""
    result = subprocess.run(
        [sys.executable, "-P", RUNNER, bop, shlex.join([str(script), *map(str, options)])],
        env={"EGL_PLATFORM": "surfaceless", **os.environ, "PYTHONPATH": str(script.parents[1])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def edges(box):
    """Left, upper, right and lower pixel of (x, y, width, height)."""
    return np.array([*box[:2], box[0] + box[2], box[1] + box[3]])


def test_it_loads_the_files(bop, library):
    inout, scene = library("inout"), bop / "test/000000"
    poses = inout.load_scene_gt(str(scene / "scene_gt.json"))
    cameras = inout.load_scene_camera(str(scene / "scene_camera.json"))
    assert list(poses) == list(cameras) == [0, 1]
    assert poses[0][0]["cam_R_m2c"].shape == cameras[0]["cam_K"].shape == (3, 3)
    depth = inout.load_depth(str(scene / "depth/000000.png"))
    assert depth.shape == (SIZE, SIZE)
    assert inout.load_cam_params(str(bop / "camera.json"))["im_size"] == (SIZE, SIZE)
    model = inout.load_ply(str(bop / "models/obj_000001.ply"))
    assert model["pts"].shape == model["normals"].shape == model["colors"].shape
    info = inout.load_json(str(bop / "models/models_info.json"), keys_to_int=True)[1]
    diameter = library("misc").calc_pts_diameter(model["pts"])
    assert info["diameter"] == pytest.approx(diameter, rel=1e-4)


def test_it_finds_the_files_of_several_cameras(dataset, library, tmp_path):
    """Under the names of a dataset with sensors."""
    export_bop(dataset, tmp_path / "ipd", depth=True)
    table = library("dataset_params")
    split = table.get_split_params(str(tmp_path), "ipd", "test")
    keys = table.scene_tpaths_keys("rgb", "cam1")
    assert len(keys) > 6
    for kind, key in keys.items():
        path = split[key].format(scene_id=0, im_id=0, gt_id=0).replace("cam1", "left")
        assert Path(path).is_file() or kind == "scene_gt_coco_tpath"


def test_its_ground_truth_info_is_ours(bop, scripts, tmp_path):
    """Up to half a pixel, as its renderer has pixel centres at +0.5, but its format at integers.

    The block's drawn faces end 0.4 mm before its edges, and the toolkit considers visible what lies
    up to 15 mm behind the depth image.
    """
    copy = shutil.copytree(bop, tmp_path / NAME)
    run(copy, scripts / "calc_gt_info.py")
    compared = 0
    for table in sorted((bop / "test").glob("*/scene_gt_info.json")):
        ours, theirs = read(table), read(copy / table.relative_to(bop))
        assert ours != theirs and ours.keys() == theirs.keys()
        for image in ours:
            (own,), (other,) = ours[image], theirs[image]
            assert own.keys() == other.keys()
            for box in ("bbox_obj", "bbox_visib"):
                assert edges(own[box]).min() > 0 and edges(own[box]).max() < SIZE - 1
                assert np.abs(edges(own[box]) - edges(other[box])).max() <= 1
            for count in ("px_count_all", "px_count_valid", "px_count_visib"):
                assert own[count] == pytest.approx(other[count], rel=0.04)
            assert own["visib_fract"] == pytest.approx(other["visib_fract"], abs=0.03)
            compared += 1
    assert compared == SAMPLES


def test_its_masks_are_ours(bop, scripts, tmp_path):
    """Without the half pixel; with it, masks of this size overlap by 0.83 to 0.92 only."""
    copy = shutil.copytree(bop, tmp_path / NAME)
    for path in (copy / "test").glob("*/scene_camera.json"):
        cameras = read(path)
        for camera in cameras.values():
            camera["cam_K"] = (np.array(camera["cam_K"]) + [0, 0, 0.5, 0, 0, 0.5, 0, 0, 0]).tolist()
        path.write_text(json.dumps(cameras))
    run(copy, scripts / "calc_gt_masks.py")
    masks = sorted((bop / "test").glob("*/mask*/*.png"))
    assert len(masks) == 2 * SAMPLES
    for path in masks:
        own, other = (
            np.asarray(Image.open(file)) > 0 for file in (path, copy / path.relative_to(bop))
        )
        assert np.sum(own & other) / np.sum(own | other) > 0.96


def test_its_evaluation_accepts_true_and_equivalent_poses_only(bop, scripts, library, tmp_path):
    """The recalls of BOP 2019, over thresholds of VSD, MSSD and MSPD."""
    inout = library("inout")
    (info,) = read(bop / "models/models_info.json").values()
    for name, change in CHANGES.items():
        estimates = []
        for scene in sorted((bop / "test").iterdir()):
            for image, (truth,) in inout.load_scene_gt(str(scene / "scene_gt.json")).items():
                pose = truth["cam_R_m2c"], truth["cam_t_m2c"]
                R, t = change(pose, info["diameter"])
                estimates.append(
                    {"scene_id": int(scene.name), "im_id": image, "obj_id": truth["obj_id"],
                     "score": 1.0, "R": R, "t": t, "time": 0.1}
                )  # fmt: skip
        inout.save_bop_results(str(tmp_path / f"{name}_{NAME}-test.csv"), estimates)
    files = ",".join(f"{name}_{NAME}-test.csv" for name in CHANGES)
    run(
        bop, scripts / "eval_bop19_pose.py", "--num_workers=1", f"--result_filenames={files}",
        f"--results_path={tmp_path}", f"--eval_path={tmp_path}",
    )  # fmt: skip

    def recalls(name):
        scores = read(tmp_path / f"{name}_{NAME}-test/scores_bop19.json")
        return [scores[f"bop19_average_recall_{error}"] for error in ("vsd", "mssd", "mspd")]

    assert recalls("exact") == [1, 1, 1]
    assert recalls("shifted") == [0, 0, 0]
    # VSD sees shapes only: it accepts a cube that is turned by a quarter.
    assert recalls("quarter")[1:] == [0, 0]
    if bop.parent.name.startswith("rod"):
        assert recalls("equivalent") == [1, 1, 1]
    else:
        assert recalls("equivalent")[1:] == [0, 0]
