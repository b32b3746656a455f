"""Estimators of regions of interest: training, evaluation, export, and raw frames."""

from dataclasses import replace

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_pose_bundle
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import NO_POLICY, ExportConfig
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.datasets.generation.state_sources import state_source
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.rig_import.rig_toml import write_rig
from opendactyl.geometry.rotation import geodesic_angle
from opendactyl.render.appearance.config import PRESETS
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate
from opendactyl.vision.training.checkpoints import load_module
from opendactyl.vision.training.train import train

FRAME, SIZE = 192, 64
REGION = (32, 48, 128, 128)


@pytest.mark.slow
def test_an_estimator_of_regions_takes_whole_frames(tiny, val_dataset, tmp_path):
    cameras = (c.scaled(FRAME, FRAME) for c in load_rig("dactyl-200").cameras)
    rig = Rig("regions", tuple(replace(camera, roi=REGION) for camera in cameras))
    write_rig(rig, tmp_path / "rig.toml", "the test")
    folders = [
        generate(
            DatasetConfig(
                out=tmp_path / name, num_samples=4, seed=seed, image_size=SIZE, workers=1,
                rig=str(tmp_path / "rig.toml"),
            )
        )
        for name, seed in (("train", 50), ("val", 51))
    ]  # fmt: skip
    run = train(tiny(tmp_path / "run", model="dactyl", data=(folders[0],), val_data=folders[1]))
    module = load_module(run)
    assert module.hparams["raw_rig"]["cameras"][0]["roi"] == list(REGION)
    metrics = evaluate(EvalConfig(model=run, data=folders[1], out=tmp_path / "report"))
    assert np.isfinite(metrics["rotation_error_deg"]["mean"])
    with pytest.raises(InputError, match="camera 'left' of the dataset's rig dactyl-200 differs"):
        evaluate(EvalConfig(model=run, data=val_dataset, out=tmp_path / "other"))
    exported = export_bundle(ExportConfig(vision=run, policy=NO_POLICY, out=tmp_path / "bundle"))
    bundle = load_pose_bundle(exported)
    assert bundle.raw_rig is not None and bundle.raw_rig.cameras[0].roi == REGION

    (state,) = state_source("settled", "block").states(5, 0, 1)
    rng = np.random.default_rng(0)
    appearance = sample_appearance(rng, PRESETS["calibrated"], views=3, obj=object_spec("block"))
    appearance = replace(appearance, camera_fovy=(0.0,) * 3)
    plain = Rig("whole", tuple(replace(camera, roi=None) for camera in rig.cameras))
    with make_renderer("classic", rig=plain, image_size=FRAME) as renderer:
        frames = list(renderer.render(state, appearance))
    with make_renderer("classic", rig=bundle.rig, image_size=SIZE) as renderer:
        images = renderer.render(state, appearance)
    made = bundle.estimator.raw_frames.images(frames)
    assert np.abs(made.astype(int) - images).mean() < 3
    pose, expected = (bundle.estimator.estimate(value) for value in (frames, made))
    assert geodesic_angle(pose.quaternion, expected.quaternion) < 1e-6
    with pytest.raises(InputError, match="the frame has 64×64 pixels, its calibration"):
        bundle.estimator.estimate(list(images))
