"""The hands whose models are not installed: motion, rest and grasp. Slow: they are downloaded."""

import shutil
import subprocess
import sys
import zipfile

import mujoco
import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.sim.hands.load import load_hand
from opendactyl.sim.hands.shipped import HANDS, hand_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.state import State

WHEELS = {
    "shadow-e3m5": ("robopianist==1.0.10", "robopianist/models/hands/third_party"),
    "allegro": ("mani-skill==3.0.1", "mani_skill/assets/robots"),
}
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])
AWAY = np.array([0.0, 0.0, -5.0])


@pytest.fixture(scope="module", params=WHEELS)
def scene(request, tmp_path_factory):
    folder, (wheel, models) = tmp_path_factory.mktemp("wheel"), WHEELS[request.param]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, wheel],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"cannot download {wheel}: {done.stderr[-200:]}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.startswith(models)])
    # A copy of the file, beside which the model lies.
    path = folder / models / f"{request.param}.toml"
    shutil.copyfile(hand_spec(request.param).path, path)
    return load_scene("block", str(path))


def rest(scene):
    joints = scene.joint_range.mean(axis=1) * 0.3
    for name, angle in scene.hand.start_joints.items():
        joints[scene.hand.joints.index(name)] = angle
    return joints


def simulated(scene, position, seconds, targets):
    data = mujoco.MjData(scene.model)
    scene.set_state(data, State(rest(scene), np.asarray(position), UPRIGHT))
    data.ctrl[:] = targets
    mujoco.mj_step(scene.model, data, nstep=round(seconds / 0.008))
    return data


def test_the_files_of_all_hands_are_valid():
    assert list(HANDS) == ["shadow", "allegro", "leap", "shadow-e3m5"]
    assert [len(hand.joints) for hand in HANDS.values()] == [24, 16, 16, 24]
    assert [len(hand.actuators) for hand in HANDS.values()] == [20, 16, 16, 20]


@pytest.mark.slow
def test_every_actuator_moves_through_its_range_within_a_second(scene):
    """Of the Shadow hand, spread fingers meet their neighbours, and stop there."""
    low, high = scene.actuator_range.T
    targets = np.clip(scene.transmission(rest(scene)), low, high)
    least = 0.7 if scene.hand.name == "shadow-e3m5" else 0.9
    for number, name in enumerate(scene.hand.actuators):
        for begin, end in ((low, high), (high, low)):
            start = targets.copy()
            start[number] = begin[number]
            data = simulated(scene, AWAY, 1.5, start)
            data.ctrl[number] = end[number]
            mujoco.mj_step(scene.model, data, nstep=125)
            moved = abs(scene.actuated(data.qpos)[number] - begin[number])
            assert moved >= least * (high - low)[number], name


@pytest.mark.slow
def test_nothing_penetrates_at_rest_and_the_block_is_held(scene):
    low, high = scene.actuator_range.T
    targets = np.clip(scene.transmission(rest(scene)), low, high)
    data = simulated(scene, AWAY, 2.0, targets)
    assert max((-c.dist for c in data.contact), default=0.0) < 0.002
    data = simulated(scene, scene.hand.start_position, 1.0, targets)
    before = scene.state(data.qpos).position
    mujoco.mj_step(scene.model, data, nstep=250)
    after = scene.state(data.qpos).position
    assert np.linalg.norm(after - before) < 0.005 and after[2] > -0.02
    tips = scene.fingertips(data.site_xpos)
    assert (tips[:-1, 0] > 0.08).all() and tips[-1, 1] < -0.05  # fingers along x, the right thumb


@pytest.mark.slow
def test_leap_if_its_model_is_there():
    hand = load_hand(HANDS["leap"].path, is_shipped=True)
    try:
        hand.asset  # noqa: B018
    except InputError as error:
        pytest.skip(str(error))
    scene = load_scene("block", "leap")
    assert scene.model.nu == 16
    data = simulated(scene, AWAY, 2.0, scene.transmission(rest(scene)))
    assert max((-c.dist for c in data.contact), default=0.0) < 0.002
