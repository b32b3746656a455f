"""`opendactyl estimate` on pictures, videos and live devices."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.estimation.estimate import EstimateConfig, estimate
from opendactyl.control.imitation.demonstrate import rendered_frames
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.geometry.distortion import Distortion
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.geometry.undistortion import undistort_image
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec

RIG, SMALL_RIG = load_rig("dactyl"), load_rig("dactyl-200")
SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient"
SIZE = 200
BLOCKED = ("torch", "lightning", "mujoco", "scipy", "gymnasium", "tqdm", "matplotlib", "cv2", "av",
           "imageio", "pydantic", "filelock")  # fmt: skip


@pytest.fixture(scope="module")
def look():
    rng = np.random.default_rng(0)
    return sample_appearance(rng, PRESETS["calibrated"], views=3, obj=object_spec("block"))


@pytest.fixture(scope="module")
def renders(states, look):
    """Images (N, V, H, W, 3) of states at the full size of the rig of the tests' bundle."""
    with make_renderer("classic", rig=SMALL_RIG, object_name="block", image_size=SIZE) as renderer:
        return np.stack([renderer.render(state, look).copy() for state in states])


@pytest.fixture(scope="module")
def states():
    return list(state_source("settled", "block").states(5, 0, 2))


@pytest.fixture(scope="module")
def frames(states, look):
    """Frames (V, H, W, 3) of the first state, for the shipped bundle."""
    return next(rendered_frames(load_bundle(SHIPPED), states, look))


@pytest.fixture(scope="module")
def pose_only(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("estimate") / "bundle"
    return export_bundle(ExportConfig(vision=bundle, policy=NO_POLICY, out=out))


def write_stills(folder, images):
    folder.mkdir(exist_ok=True)
    for name, image in zip(RIG.names, images, strict=True):
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


def write_pictures(folder, images):
    for k, views in enumerate(images):
        for name, image in zip(RIG.names, views, strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"{k:04d}.png")
    return folder


def write_video(path, images):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = images[0].shape[:2]
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def run(bundle, out, **settings):
    estimate(EstimateConfig(bundle=bundle, out=out, **settings))
    return json.loads((out / "poses.json").read_text())


def error_deg(pose, state):
    return np.rad2deg(geodesic_angle(pose["quaternion"], state.quaternion))


def test_stills_give_a_pose_and_other_files_are_named(states, frames, tmp_path, capsys):
    folder = write_stills(tmp_path / "in", frames)
    Image.new("L", (SIZE, SIZE)).save(folder / "mask_left.png")
    (folder / "notes.txt").write_text("cloudy")
    found = run(SHIPPED, tmp_path / "out", images=(folder,))
    (pose,) = found["poses"]
    assert error_deg(pose, states[0]) < 5
    np.testing.assert_allclose(pose["position"], states[0].position, atol=5e-3)
    assert np.shape(pose["covariance"]) == (6, 6)
    assert all(0 < residual < 10 for residual in pose["residual_px"].values())
    assert found["object"] == "block" and "hand frame" in found["pose"]
    text = capsys.readouterr().out
    assert "ignored mask_left.png, notes.txt" in text
    assert "residuals   left " in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "overlay.png", "poses.csv", "poses.json",
    ]  # fmt: skip
    overlay = np.asarray(Image.open(tmp_path / "out/overlay.png"))
    assert overlay.shape == (480, 3 * 640, 3)
    drawn = np.any(overlay != np.concatenate(list(frames), axis=1), axis=-1)
    camera = RIG.cameras[0]
    column, row = camera.project(states[0].position)[0].astype(int)
    assert drawn[row - 60 : row + 60, column - 60 : column + 60].any()
    assert 0.001 < drawn.mean() < 0.1


def test_raw_frames_through_a_lens_have_the_pose_of_undistorted_ones(frames, tmp_path):
    lens = Distortion("brown-conrady", (-1.0, 0.5, 0.01, -0.01))
    rig = Rig("lens", tuple(replace(c, distortion=lens) for c in RIG.cameras))
    write_rig(rig, tmp_path / "lens.toml", "")
    raw = []
    for image, camera in zip(frames, rig.cameras, strict=True):
        u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        focal, centre = np.diag(camera.K)[:2], camera.K[:2, 2]
        points = lens.undistort((np.stack([u, v], axis=-1) - centre) / focal) * focal + centre
        raw.append(undistort_image(image, np.nan_to_num(points, nan=-1).astype(np.float32)))
    settings = {
        "images": (write_stills(tmp_path / "raw", raw),),
        "rig": str(tmp_path / "lens.toml"),
    }
    (undone,) = run(SHIPPED, tmp_path / "a", **settings)["poses"]
    straight = write_stills(tmp_path / "straight", frames)
    (reference,) = run(SHIPPED, tmp_path / "b", images=(straight,))["poses"]
    # At the size of the render, undistortion blurs more than at a camera's resolution.
    assert np.rad2deg(geodesic_angle(undone["quaternion"], reference["quaternion"])) < 0.7
    np.testing.assert_allclose(undone["position"], reference["position"], atol=1e-3)


def test_folders_of_pictures_give_a_row_each(pose_only, renders, tmp_path, capsys):
    folder = write_pictures(tmp_path / "in", [*renders, *renders])
    (folder / "right" / "0002.png").unlink()
    (folder / "top" / "0003.png").write_bytes(b"no picture")
    found = run(pose_only, tmp_path / "out", images=(folder,))
    assert [pose["frame"] for pose in found["poses"]] == ["0000", "0001"]
    assert [skipped["frame"] for skipped in found["skipped"]] == ["0002", "0003"]
    assert "no pose of frame 0003: no frame of top that can be read" in capsys.readouterr().out
    assert set(found["poses"][0]["residual_px"]) == set(RIG.names)
    text = (tmp_path / "out/poses.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert float(rows[1]["position_x"]) == found["poses"][1]["position"][0]
    assert float(rows[1]["covariance_35"]) == found["poses"][1]["covariance"][3][5]
    assert float(rows[1]["residual_px_top"]) == found["poses"][1]["residual_px"]["top"]
    assert (tmp_path / "out/poses.png").exists()  # matplotlib is installed here


def test_videos_are_matched_and_the_shortest_ends_them(pose_only, renders, tmp_path, capsys):
    images = np.concatenate([renders, renders[::-1]])
    videos = [
        write_video(tmp_path / f"{name}.mp4", images[: 3 if name == "right" else 4, i])
        for i, name in enumerate(RIG.names)
    ]
    found = run(pose_only, tmp_path / "out", images=tuple(videos))
    assert [round(pose["seconds"], 3) for pose in found["poses"]] == [0.0, 0.1, 0.2]
    text = capsys.readouterr().out
    assert "the videos differ in length: stopped at 0.200 s, the end of right" in text
    with av.open(str(tmp_path / "out/overlay.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, [0, 0.1, 0.2], atol=1e-3)


def test_live_devices_are_read_until_one_gives_no_more(pose_only, renders, tmp_path, capsys):
    images = np.concatenate([renders, renders])
    devices = [str(write_video(tmp_path / f"device{i}.mp4", images[:, i])) for i in range(3)]
    found = run(pose_only, tmp_path / "live", live=tuple(devices))
    assert len(found["poses"]) == 4
    assert "stopped after 4 frames" in capsys.readouterr().out
    # Colours are in the right order: the poses are those of the pictures, but for compression.
    stills = run(pose_only, tmp_path / "still", images=(write_stills(tmp_path / "s", images[0]),))
    np.testing.assert_allclose(
        found["poses"][0]["position"], stills["poses"][0]["position"], atol=5e-3
    )


def test_it_works_with_the_base_install(renders, tmp_path, pose_only):
    folder = write_pictures(tmp_path / "in", renders)
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
from opendactyl.cli.main import main
main(["estimate", "--bundle", {str(pose_only)!r}, "--images", {str(folder)!r}, "--out", "out"])
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"COLUMNS": "100"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "matplotlib is not installed" in done.stdout
    assert "a video needs PyAV" in done.stdout
    names = [path.name for path in sorted((tmp_path / "out/overlay").iterdir())]
    assert names == ["000000.png", "000001.png"]


@pytest.mark.slow
def test_a_keypoint_estimator_takes_any_rig(renders, tmp_path, dataset, val_dataset):
    from opendactyl.vision.training.config import VisionConfig
    from opendactyl.vision.training.train import train

    vision = train(
        VisionConfig(
            data=(dataset,), val_data=val_dataset, out=tmp_path / "run", image_size=64,
            batch_size=4, max_epochs=1, max_minutes=5, workers=0, accelerator="cpu",
            model="keypoint",
        )
    )  # fmt: skip
    out = export_bundle(ExportConfig(vision=vision, policy=NO_POLICY, out=tmp_path / "bundle"))
    two = Rig("two", SMALL_RIG.cameras[:2])
    write_rig(two, tmp_path / "two.toml", "")
    folder = write_stills(tmp_path / "in", renders[0])
    found = run(out, tmp_path / "two", images=(folder,), rig=str(tmp_path / "two.toml"))
    assert list(found["poses"][0]["residual_px"]) == ["left", "right"]
