"""BOP export, checked by an independent reader of the documented format."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import ConvexHull

from opendactyl.cli.main import main
from opendactyl.core.errors import InputError
from opendactyl.datasets.export.bop import export_bop, instance_info, visible_bodies
from opendactyl.datasets.format.manifest import iterate_samples, load_manifest

CAMERAS = ("left", "right", "top")


@pytest.fixture(scope="module")
def bop(dataset, tmp_path_factory):
    return export_bop(dataset, tmp_path_factory.mktemp("bop") / "out")


def read(path):
    return json.loads(path.read_text())


def read_ply(path):
    """Vertices (N, 3), colours (N, 3) and triangles (M, 3) of an ASCII PLY."""
    header, body = path.read_text().split("end_header\n")
    counts = {}
    for line in header.splitlines():
        if line.startswith("element"):
            _, what, count = line.split()
            counts[what] = int(count)
    lines = body.splitlines()
    vertices = np.array([line.split() for line in lines[: counts["vertex"]]], dtype=float)
    faces = np.array([line.split() for line in lines[counts["vertex"] :]], dtype=int)
    assert len(faces) == counts["face"]
    assert set(faces[:, 0]) == {3}
    return vertices[:, :3], vertices[:, 3:6], vertices[:, 6:], faces[:, 1:]


def views(bop):
    """Yields camera, pose, info and images of each exported view."""
    for scene in sorted((bop / "test").iterdir()):
        for camera in CAMERAS:
            poses = read(scene / f"scene_gt_{camera}.json")
            cameras = read(scene / f"scene_camera_{camera}.json")
            infos = read(scene / f"scene_gt_info_{camera}.json")
            for image in poses:
                (pose,), (info,) = poses[image], infos[image]
                name = f"{int(image):06d}"
                files = {
                    kind: scene / f"{kind}_{camera}" / f"{name}{suffix}.png"
                    for kind, suffix in (
                        ("rgb", ""),
                        ("mask", "_000000"),
                        ("mask_visib", "_000000"),
                    )
                }
                pictures = {kind: np.asarray(Image.open(path)) for kind, path in files.items()}
                yield cameras[image], pose, info, pictures


def inside_hull(points, size):
    """Which pixels (H, W), with centres at integers, lie in the hull of points (N, 2)."""
    rows, columns = np.mgrid[:size, :size]
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    return np.all(pixels @ ConvexHull(points).equations.T <= 0, axis=-1)


def test_reprojected_models_overlap_the_masks(bop):
    vertices = read_ply(bop / "models" / "obj_000001.ply")[0]
    agreement = []
    for camera, pose, _, pictures in views(bop):
        R, t = np.reshape(pose["cam_R_m2c"], (3, 3)), np.array(pose["cam_t_m2c"])
        pixels = (vertices @ R.T + t) @ np.reshape(camera["cam_K"], (3, 3)).T
        projected = inside_hull(pixels[:, :2] / pixels[:, 2:], 64)
        mask = pictures["mask"] == 255
        agreement.append(np.sum(projected & mask) / np.sum(projected | mask))
    assert len(agreement) == 36
    # Pixels on the outline may fall on either side; half a pixel of shift would leave 0.89.
    assert np.min(agreement) > 0.97
    assert np.mean(agreement) > 0.985


def test_pixel_centres_are_at_integers(bop):
    """Otherwise the projection would be shifted by half a pixel."""
    vertices = read_ply(bop / "models" / "obj_000001.ply")[0]
    shifts = []
    for camera, pose, _, pictures in views(bop):
        R, t = np.reshape(pose["cam_R_m2c"], (3, 3)), np.array(pose["cam_t_m2c"])
        pixels = (vertices @ R.T + t) @ np.reshape(camera["cam_K"], (3, 3)).T
        projected = inside_hull(pixels[:, :2] / pixels[:, 2:], 64)
        shifts.append(
            [np.mean(np.nonzero(m), axis=1) for m in (projected, pictures["mask"] == 255)]
        )
    shifts = np.diff(shifts, axis=1)[:, 0]
    assert np.abs(shifts.mean(axis=0)).max() < 0.1


def test_info_agrees_with_the_masks(bop):
    for _, _, info, pictures in views(bop):
        whole, visible = pictures["mask"] == 255, pictures["mask_visib"] == 255
        assert set(np.unique(pictures["mask"])) <= {0, 255}
        assert not np.any(visible & ~whole)
        assert (info["px_count_all"], info["px_count_visib"]) == (whole.sum(), visible.sum())
        assert info["visib_fract"] == pytest.approx(visible.sum() / whole.sum())
        for key, mask in (("bbox_obj", whole), ("bbox_visib", visible)):
            x, y, width, height = info[key]
            cut = np.zeros_like(mask)
            cut[y : y + height + 1, x : x + width + 1] = True
            assert not np.any(mask & ~cut)
            inner = mask[y : y + height + 1, x : x + width + 1]
            assert all([inner[0].any(), inner[-1].any(), inner[:, 0].any(), inner[:, -1].any()])


def test_sizes_of_boxes_are_between_the_centres_of_pixels():
    """As BOP's toolkit measures them; it gives no box for what is hidden."""
    whole = np.zeros((8, 8), dtype=bool)
    whole[2:5, 1:7] = True
    visible = whole.copy()
    visible[:, 3:] = False
    info = instance_info(whole, visible)
    assert (info["bbox_obj"], info["bbox_visib"]) == ([1, 2, 5, 2], [1, 2, 1, 2])
    hidden = instance_info(whole, np.zeros_like(whole))
    assert hidden["bbox_obj"] == hidden["bbox_visib"] == [-1] * 4
    assert (hidden["px_count_all"], hidden["px_count_visib"], hidden["visib_fract"]) == (18, 0, 0)


def test_hidden_bodies_are_no_targets():
    """A body counts where a view shows a tenth of it, not where one shows another body."""
    fractions = [[0.9, 0.0, 0.05], [0.2, 0.09, 0.1]]
    assert visible_bodies([[{"visib_fract": f} for f in view] for view in fractions]) == [0, 2]


def test_images_cameras_and_visibility_equal_the_dataset(bop, dataset):
    samples = list(iterate_samples(dataset))
    # Scenes of four samples, camera by camera.
    order = [
        (samples[4 * scene + i], view) for scene in range(3) for view in range(3) for i in range(4)
    ]
    for (camera, pose, info, pictures), (sample, view) in zip(views(bop), order, strict=True):
        label = sample.label
        np.testing.assert_array_equal(pictures["rgb"], sample.images[view])
        assert info["visib_fract"] == pytest.approx(label.visible_fraction[view], abs=0.02)
        world = np.reshape(camera["cam_R_w2c"], (3, 3)) @ (1000 * label.position)
        np.testing.assert_allclose(world + camera["cam_t_w2c"], pose["cam_t_m2c"], atol=1e-6)


def test_the_model_is_a_block_without_symmetries(bop):
    vertices, normals, colours, triangles = read_ply(bop / "models" / "obj_000001.ply")
    np.testing.assert_allclose(np.ptp(vertices, axis=0), 57.0)
    corners = vertices[triangles]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Wound outwards, closed, and of the block's volume in cubic millimetres.
    assert np.all(np.einsum("ij,ij->i", crossed, normals[triangles[:, 0]]) > 0)
    assert np.einsum("ij,ij->i", corners[:, 0], crossed).sum() / 6 == pytest.approx(57**3)
    assert len(np.unique(colours, axis=0)) == 6
    (info,) = read(bop / "models" / "models_info.json").values()
    assert info["diameter"] == pytest.approx(57 * np.sqrt(3))
    assert [info[f"min_{axis}"] for axis in "xyz"] == pytest.approx([-28.5] * 3)
    assert [info[f"size_{axis}"] for axis in "xyz"] == pytest.approx([57.0] * 3)
    assert not [key for key in info if key.startswith("symmetries")]


def test_targets_name_every_frame_once(bop, dataset):
    frames = {(scene, image) for scene in range(3) for image in range(4)}
    single = read(bop / "test_targets_bop24.json")
    assert [(t["scene_id"], t["im_id"]) for t in single] == sorted(frames)
    together = read(bop / "test_targets_multiview_bop25.json")
    assert [t["scene_id"] for t in together] == [t["scene_id"] for t in single]
    for target in together:
        for camera, image in target["im_id"]:
            path = bop / "test" / f"{target['scene_id']:06d}" / f"rgb_{camera}"
            assert (path / f"{image:06d}.png").is_file()
        assert [camera for camera, _ in target["im_id"]] == list(CAMERAS)
    nominal = load_manifest(dataset).load_rig().cameras[0]
    sensor = read(bop / "camera_left.json")
    assert sensor["cx"] == pytest.approx(nominal.K[0, 2] - 0.5)


def test_damaged_datasets_and_used_folders_are_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="not empty"):
        export_bop(dataset, dataset)
    broken = tmp_path / "broken"
    shutil.copytree(dataset, broken)
    (broken / "shard-000000.tar").write_bytes(b"")
    with pytest.raises(SystemExit) as stop:
        main(["dataset", "--export-bop", str(broken), str(tmp_path / "out")])
    assert stop.value.code == 2
    assert not (tmp_path / "out").exists()  # the next try finds nothing in its way
