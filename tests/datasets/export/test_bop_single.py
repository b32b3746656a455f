"""BOP export of a rig with one camera, with depth, read as the page of the format describes."""

import json

import numpy as np
import pytest
from PIL import Image

from opendactyl.datasets.export.bop import export_bop
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig

SIZE, HALF = 64, 28.5
SAMPLES = 3


@pytest.fixture(scope="module")
def bop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    write_rig(Rig("one", load_rig("dactyl-200").cameras[:1]), folder / "one.toml", "")
    data = generate(
        DatasetConfig(out=folder / "data", num_samples=SAMPLES, image_size=SIZE, workers=1,
                      rig=str(folder / "one.toml"))
    )  # fmt: skip
    return export_bop(data, folder / "bop", depth=True)


def read(path):
    return json.loads(path.read_text())


def test_files_of_a_single_camera_have_no_suffix(bop):
    assert {path.name for path in bop.iterdir()} == {
        "camera.json", "dataset_info.md", "models", "test", "test_targets_bop19.json",
        "test_targets_bop24.json",
    }  # fmt: skip
    (scene,) = (bop / "test").iterdir()
    assert {path.name for path in scene.iterdir()} == {
        "rgb", "depth", "mask", "mask_visib", "scene_camera.json", "scene_gt.json",
        "scene_gt_info.json",
    }  # fmt: skip
    assert len(list((scene / "depth").iterdir())) == SAMPLES
    assert read(bop / "camera.json")["depth_scale"] == 0.1


def test_targets_name_the_visible_instances(bop):
    targets = read(bop / "test_targets_bop19.json")
    infos = read(bop / "test/000000/scene_gt_info.json")
    visible = [int(image) for image, (info,) in infos.items() if info["visib_fract"] >= 0.1]
    assert targets == [
        {"scene_id": 0, "im_id": number, "obj_id": 1, "inst_count": 1} for number in visible
    ]


def test_depth_lies_on_the_surface_of_the_posed_model(bop):
    """Pixels of the visible mask, lifted by depth and mapped to the object, are on the cube."""
    scene = bop / "test/000000"
    poses, cameras = read(scene / "scene_gt.json"), read(scene / "scene_camera.json")
    distances = []
    for image, (pose,) in poses.items():
        depth = np.asarray(Image.open(scene / "depth" / f"{int(image):06d}.png"))
        assert depth.dtype == np.uint16 and depth.shape == (SIZE, SIZE)
        mask = np.asarray(Image.open(scene / "mask_visib" / f"{int(image):06d}_000000.png")) > 0
        rows, columns = np.nonzero(mask)
        z = depth[mask] * cameras[image]["depth_scale"]
        K = np.reshape(cameras[image]["cam_K"], (3, 3))
        rays = np.linalg.solve(K, np.stack([columns, rows, np.ones_like(rows)]))
        in_camera = (rays * z).T
        R, t = np.reshape(pose["cam_R_m2c"], (3, 3)), np.array(pose["cam_t_m2c"])
        distances.append(np.abs((in_camera - t) @ R).max(axis=1) - HALF)
    distances = np.concatenate(distances)
    assert len(distances) > 100
    assert abs(np.median(distances)) < 0.3  # millimetres
    assert np.quantile(np.abs(distances), 0.95) < 1.0
