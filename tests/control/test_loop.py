"""The loop of one robot: faults are named, the hand is held still, and all goes on afterwards."""

import dataclasses
import itertools
import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle import load_bundle
from opendactyl.control.episodes import EpisodeConfig, make_cameras, make_env, open_renderer
from opendactyl.control.faults import FAULTS, JUMP_ANGLE, Faults
from opendactyl.control.filter import FilteredPose
from opendactyl.control.goals import TaskGoals
from opendactyl.control.parts import Fault, HandReading, Over
from opendactyl.control.robot import ACTING, COASTING, HOLDING, RobotLoop
from opendactyl.control.sight import FrameCheck, VisionPose, check_pose
from opendactyl.control.simulated import SimGoals, SimHand
from opendactyl.control.waiting import AnsweringCameras, AnsweringHand
from opendactyl.geometry.rotation import geodesic_angle, quat_from_axis_angle
from opendactyl.sim.names import ACTUATORS, JOINTS
from opendactyl.vision.estimator import Pose

PATIENCE = 3
"""Actions in which the last good pose serves, here."""
HAND_PERIODS = PATIENCE * 0.08


class Clock:
    """Time that only passes when someone waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class SpringHand:
    """A hand whose joints go half the way to their targets with each command."""

    def __init__(self):
        self.joints = np.zeros(len(JOINTS))
        self.sent = []
        self.closed = False

    def read(self):
        return HandReading(self.joints.copy(), np.full((5, 3), self.joints.mean()))

    def command(self, targets):
        self.sent.append(targets)
        moved = [JOINTS.index(name) for name in ACTUATORS]
        self.joints[moved] += 0.5 * (targets - self.joints[moved])

    def close(self):
        self.closed = True


class NoisyCameras:
    """Pictures that differ, as a real sensor's do."""

    def __init__(self, shape):
        self.shape = shape
        self.rng = np.random.default_rng(0)

    def read(self):
        return list(self.rng.integers(0, 256, self.shape, dtype=np.uint8))

    def close(self):
        pass


class SureEstimator:
    """An estimator that sees the same pose in whatever it is shown, a little noisily."""

    def __init__(self, shape):
        self.shape = shape
        self.rng = np.random.default_rng(1)
        self.asked = 0

    def estimate(self, images):
        assert images.dtype == np.uint8 and images.shape == self.shape
        self.asked += 1
        position = np.array([0.0, 0.0, 0.03]) + self.rng.normal(0, 0.001, 3)
        return Pose(position, np.array([1.0, 0, 0, 0]), np.diag([1e-6] * 3 + [1e-3] * 3))


class Rig:
    """A loop over parts that can fail."""

    def __init__(self, bundle):
        loaded = load_bundle(bundle, threads=1)
        loaded = dataclasses.replace(loaded, estimator=SureEstimator(loaded.estimator.shape))
        self.low, self.high = loaded.decoder().low, loaded.decoder().high
        self.faults = Faults(view=1)
        self.hand = SpringHand()
        cameras = self.faults.cameras(NoisyCameras(loaded.estimator.shape))
        source = FilteredPose(self.faults.source(VisionPose(loaded, cameras)))
        self.clock = Clock()
        self.loop = RobotLoop(
            self.faults.bundle(loaded), self.faults.hand(self.hand), source,
            TaskGoals("reorient"), patience=HAND_PERIODS, clock=self.clock, sleep=self.clock.sleep,
        )  # fmt: skip

    def steps(self, count):
        return [self.loop.step() for _ in range(count)]


@pytest.fixture
def rig(bundle):
    return Rig(bundle)


def test_without_faults_the_hand_moves_within_its_limits(rig):
    statuses = rig.steps(20)
    assert {status.state for status in statuses} == {ACTING}
    assert not any(status.faults for status in statuses)
    sent = np.array(rig.hand.sent)
    assert sent.shape == (20, 20)
    assert (sent >= rig.low).all() and (sent <= rig.high).all()
    assert np.abs(np.diff(sent, axis=0)).max() > 1e-3


SAYS = {
    "freeze": ("camera", "right is frozen"),
    "drop": ("camera", "right gave no image"),
    "black": ("camera", "right is black"),
    "nan": ("camera", "right gave values that are not numbers"),
    "size": ("camera", "right gave uint8 of shape"),
    "occlude": ("camera", "right shows one colour, as if covered"),
    "jump": ("pose", "the estimate jumped by"),
    "policy": ("policy", "the policy's output is not finite"),
    "hand": ("hand", "the hand does not answer"),
}
SECONDS = {"jump": PATIENCE}
"""Actions a fault lasts here, where not long: a jump that lasts is believed in the end."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_the_hand_held_still_and_the_loop_recovers(rig, fault, caplog):
    rig.steps(5)
    rig.faults.active.add(fault)
    with caplog.at_level(logging.WARNING):
        failing = rig.steps(SECONDS.get(fault, 25))
    part, words = SAYS[fault]
    named = [status for status in failing if status.faults]
    assert {f.part for status in named for f in status.faults} == {part}
    assert words in str(named[0].faults[0])
    assert words in caplog.text
    # It is said once, not at every action.
    assert caplog.text.count(words) <= 2
    if fault == "jump":
        assert {status.state for status in named} == {COASTING}
    elif part in ("camera", "pose"):
        states = [status.state for status in named]
        assert states[:PATIENCE] == [COASTING] * PATIENCE
        assert set(states[PATIENCE:]) == {HOLDING}
    else:
        assert {status.state for status in named} == {HOLDING}
    held = [status.targets for status in failing if status.state == HOLDING]
    assert all(np.array_equal(targets, held[0]) for targets in held)
    rig.faults.active.clear()
    after = rig.steps(10)
    assert after[-1].state == ACTING and not after[-1].faults
    assert not np.array_equal(after[-1].targets, failing[-1].targets)
    sent = np.array(rig.hand.sent)
    assert np.isfinite(sent).all() and (sent >= rig.low).all() and (sent <= rig.high).all()
    assert rig.loop.report()["faults"] == {part: len(named)}


def test_the_estimator_is_not_asked_about_bad_frames(rig):
    rig.steps(2)
    estimator = rig.loop.source._source._source._estimator
    asked = estimator.asked
    rig.faults.active.add("black")
    rig.steps(4)
    assert estimator.asked == asked


def test_a_jump_that_lasts_is_believed_and_one_that_does_not_is_not(rig):
    before = rig.steps(5)[-1]
    rig.faults.active.add("jump")
    jumped = rig.steps(8)
    assert np.array_equal(jumped[2].quaternion, before.quaternion)
    angle = 2 * np.arccos(abs(jumped[-1].quaternion @ before.quaternion))
    assert angle == pytest.approx(JUMP_ANGLE, abs=0.1)


def test_the_same_picture_of_a_hand_that_stands_still_is_no_fault():
    check = FrameCheck(("a",), (1, 8, 8, 3))
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    joints = np.zeros(24)
    for _ in range(3):
        assert np.array_equal(check.check([picture], joints)[0], picture)
    with pytest.raises(Fault, match="a is frozen"):
        check.check([picture], joints + 0.1)
    assert check.check([picture[::-1]], joints + 0.1).shape == (1, 8, 8, 3)


def test_the_number_of_cameras_is_checked():
    with pytest.raises(Fault, match="2 images came from 1 cameras"):
        FrameCheck(("a",), (1, 8, 8, 3)).check([None, None], np.zeros(24))


@pytest.mark.parametrize(
    ("position", "quaternion", "words"),
    [
        ([0, 0, np.nan], [1, 0, 0, 0], "not finite"),
        ([0, 0, 0], [0.5, 0, 0, 0], "no rotation"),
        ([0, 0.9, 0], [1, 0, 0, 0], "0.90 m from the hand"),
    ],
)
def test_estimates_that_are_no_poses_are_faults(position, quaternion, words):
    with pytest.raises(Fault, match=words):
        check_pose(Pose(np.array(position), np.array(quaternion), np.eye(6)))


def test_before_the_hand_answers_nothing_is_sent(rig):
    rig.faults.active.add("hand")
    statuses = rig.steps(3)
    assert all(status.targets is None and status.state == HOLDING for status in statuses)
    assert rig.hand.sent == []
    rig.faults.active.clear()
    assert rig.steps(2)[-1].state == ACTING


def test_what_a_hand_did_not_receive_is_not_where_the_next_target_starts(rig):
    last = rig.steps(4)[-1].targets

    class Deaf(SpringHand):
        def command(self, targets):
            raise OSError("line cut")

    deaf = Deaf()
    deaf.joints = rig.hand.joints
    rig.loop.hand = deaf
    failing = rig.steps(6)
    assert all(np.array_equal(status.targets, last) for status in failing)
    assert {f.part for s in failing for f in s.faults} == {"hand"}
    assert "line cut" in str(failing[0].faults[0])


class Broken:
    """A part that raises what nobody thought of, while it is told to."""

    def __init__(self, part, name):
        self.part, self.name, self.broken = part, name, True

    def __getattr__(self, name):
        def fail(*_):
            raise RuntimeError("a cable came off")

        return fail if self.broken and name == self.name else getattr(self.part, name)


@pytest.mark.parametrize(("part", "call"), [("pose", "pose"), ("goal", "goal"), ("policy", "act")])
@pytest.mark.parametrize("before", [0, 5])
def test_whatever_a_part_raises_the_loop_outlives_it(rig, part, call, before):
    started = rig.steps(before)
    loop = rig.loop
    if part == "policy":
        bundle = loop._pilot._bundle
        broken = Broken(bundle.policy, call)
        loop._pilot._bundle = dataclasses.replace(bundle, policy=broken)
    else:
        name = {"pose": "source", "goal": "goals"}[part]
        broken = Broken(getattr(loop, name), call)
        setattr(loop, name, broken)
    statuses = rig.steps(PATIENCE + 2)
    assert all({fault.part for fault in s.faults} == {part} for s in statuses)
    assert "a cable came off" in str(statuses[0].faults[0])
    if part != "goal" or not started:  # With a goal from before it can go on.
        assert statuses[-1].state == HOLDING
        np.testing.assert_array_equal(statuses[-1].targets, statuses[-2].targets)
    broken.broken = False
    assert {status.state for status in rig.steps(3)} == {ACTING}


class Confused:
    """A pose source that gives something else, or whose own clock is broken."""

    def __init__(self, pose, seconds=None):
        self._pose, self._seconds = pose, seconds

    @property
    def seconds(self):
        if self._seconds is None:
            return {}
        raise self._seconds

    def pose(self, reading):
        return self._pose


@pytest.mark.parametrize(
    "source",
    [
        Confused(("no", "pose")),
        Confused(Pose(np.zeros(2), np.array([1.0, 0, 0, 0]), np.eye(6))),
        Confused(Pose(np.full(3, np.nan), np.array([1.0, 0, 0, 0]), np.eye(6))),
        Confused(Pose(np.zeros(3), np.array([1.0, 0, 0, 0]), np.eye(6)), ValueError("clock")),
    ],
)
def test_poses_that_are_none_hold_the_hand_until_there_are_some(rig, source):
    sane, rig.loop.source = rig.loop.source, source
    status = rig.steps(2)[-1]
    assert status.state == HOLDING
    assert [fault.part for fault in status.faults] == ["pose"]
    rig.loop.source = sane
    assert rig.steps(2)[-1].state == ACTING


def test_goals_are_pursued_as_the_policy_knows_them(rig):
    turned = quat_from_axis_angle([0, 0, 1.0], 1.0)
    rig.loop.goals.goal = lambda pose: -turned
    np.testing.assert_allclose(rig.steps(1)[0].goal, turned)


@pytest.mark.parametrize("goal", [np.full(4, np.nan), np.zeros(4), np.ones(3), None])
def test_a_goal_that_is_no_rotation_is_a_fault_and_not_pursued(rig, goal):
    rig.loop.goals.goal = lambda pose: goal
    status = rig.steps(2)[-1]
    assert status.state == HOLDING and status.goal is None
    assert [fault.part for fault in status.faults] == ["goal"]


def test_a_restart_forgets_pose_pictures_and_goals(rig):
    goal = rig.steps(3)[-1].goal
    far = np.array([0.1, 0.1, 0.1])
    estimate = SureEstimator.estimate
    source = rig.loop.source
    sight = source._source._source
    sight._estimator.estimate = lambda images: dataclasses.replace(
        estimate(sight._estimator, images), position=far
    )
    assert "jumped" in str(rig.steps(1)[0].faults[0])
    rig.loop.restart()
    status = rig.steps(1)[0]
    assert status.state == ACTING and not status.faults
    np.testing.assert_allclose(status.position, far)
    assert geodesic_angle(status.goal, goal) > 0.01
    assert rig.loop.goals.reached == 0


@pytest.mark.parametrize(
    ("joints", "tips"), [(np.full(24, np.nan), (5, 3)), (np.zeros(23), (5, 3)), (np.zeros(24), 3)]
)
def test_readings_of_no_hand_are_faults(rig, joints, tips):
    rig.steps(1)
    rig.loop.hand.read = lambda: HandReading(joints, np.zeros(tips))
    status = rig.steps(1)[0]
    assert status.state == HOLDING
    assert "the hand gave" in str(status.faults[0])


def test_misses_are_counted_and_the_rate_is_kept(rig):
    slow = {3, 7}
    read = rig.hand.read

    def reading():
        if rig.loop.actions in slow:
            rig.clock.now += 0.1
        return read()

    rig.hand.read = reading
    begun = []
    for status in rig.loop.run(10):
        begun.append(round(rig.clock.now - status.seconds, 6))
    report = rig.loop.report()
    assert report["deadline_misses"] == 2
    assert report["actions"] == 10
    assert report["period_ms"] == pytest.approx(80)
    assert set(report["milliseconds"]) == {"hand", "camera", "estimate", "policy", "total"}
    assert report["milliseconds"]["total"]["p99"] >= 90
    gaps = np.diff(begun)
    # After a miss the next action starts at once, and then the rate goes on; no burst.
    assert sorted(set(np.round(gaps, 3))) == [0.08, 0.1]


def test_a_recording_that_is_over_ends_the_loop(rig):
    left = iter(range(3))

    def read():
        if next(left, None) is None:
            raise Over("over")
        return SpringHand.read(rig.hand)

    rig.hand.read = read
    assert len(list(rig.loop.run())) == 3


def test_a_driver_that_hangs_is_waited_for_only_so_long(rig):
    class Stuck(SpringHand):
        stuck = False

        def read(self):
            while self.stuck:
                time.sleep(0.01)
            return super().read()

    hand = Stuck()
    rig.loop.hand = AnsweringHand(hand, 0.1)
    assert rig.steps(1)[0].state == ACTING
    hand.stuck = True
    began = time.monotonic()
    statuses = rig.steps(3)
    assert time.monotonic() - began < 2
    assert all("no answer" in str(status.faults[0]) for status in statuses)
    hand.stuck = False
    time.sleep(0.1)
    assert rig.steps(2)[-1].state == ACTING
    cameras = AnsweringCameras(NoisyCameras((3, 4, 4, 3)), 1.0)
    assert len(cameras.read()) == 3
    cameras.close()


def resident():
    """Bytes of memory in use by this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watched(SimHand):
    """The simulated hand; remembers how far the targets it was sent were from their limits."""

    def __init__(self, env, low, high):
        super().__init__(env)
        self.low, self.high, self.outside, self.commands = low, high, 0, 0

    def command(self, targets):
        self.commands += 1
        self.outside += not ((targets >= self.low) & (targets <= self.high)).all()
        super().command(targets)


def soak(bundle, actions, cameras=None):
    """Runs the simulated hand with faults that come and go; checks what must never happen.

    Returns:
        Bytes of memory in use, now and then, once all is warm.
    """
    config = EpisodeConfig(bundle=bundle, pose="vision")
    loaded = load_bundle(bundle, threads=1)
    env = make_env(config, loaded, 1)
    if cameras is None:
        loaded = dataclasses.replace(loaded, estimator=SureEstimator(loaded.estimator.shape))
        cameras = NoisyCameras(loaded.estimator.shape)
    else:
        cameras = cameras(config, loaded, env)
    rng, faults, kinds = np.random.default_rng(0), Faults(), itertools.cycle(FAULTS)
    decoder = loaded.decoder()
    hand = Watched(env, decoder.low, decoder.high)
    source = FilteredPose(faults.source(VisionPose(loaded, faults.cameras(cameras))))
    loop = RobotLoop(faults.bundle(loaded), faults.hand(hand), source, SimGoals(env))
    sizes, goals = [], 0
    for number in range(actions):
        if rng.random() < 0.15:
            faults.view = int(rng.integers(3))
            wanted = [next(kinds) for _ in range(rng.integers(1, 3))]
            faults.active = set() if faults.active else set(wanted)
        loop.step()
        if hand.over:
            goals += int(env.goals[0])
            loop.restart()
            hand.restart()
        if number >= actions // 4 and number % (actions // 10) == 0:
            sizes.append(resident())
    faults.active = set()
    recovered = [loop.step().state for _ in range(20)]
    report = loop.report()
    assert recovered[-1] == ACTING
    assert hand.outside == 0 and hand.commands > actions // 2
    assert report["actions"] == actions + 20
    assert report["goals"] == goals + int(env.goals[0])
    assert set(report["states"]) == {ACTING, COASTING, HOLDING}
    assert set(report["faults"]) == {"camera", "pose", "policy", "hand"}
    return sizes


def test_short_soak(bundle):
    soak(bundle, 300)


@pytest.mark.slow
def test_ten_thousand_actions_with_faults_at_constant_memory():
    """The bundle that ships, its estimator and a real renderer."""
    bundle = Path(__file__).parents[2] / "pretrained" / "spin"
    renderers = []

    def cameras(config, loaded, env):
        renderers.append(open_renderer("classic", loaded))
        return make_cameras(config, env, 0, renderers[0])

    sizes = soak(bundle, 10_000, cameras)
    renderers[0].close()
    assert max(sizes) - min(sizes) < 16e6, sizes


def test_a_lost_line_to_the_hand_is_a_fault_and_no_end(rig):
    rig.steps(2)
    read = rig.hand.read

    def cut():
        raise EOFError

    rig.hand.read = cut
    statuses = list(itertools.islice(rig.loop.run(), 3))
    assert [status.state for status in statuses] == [HOLDING] * 3
    rig.hand.read = read
    assert rig.steps(2)[-1].state == ACTING


def test_time_that_the_consumer_takes_counts_and_a_run_counts_its_own_actions(rig):
    for number, _ in enumerate(rig.loop.run(4)):
        rig.clock.now += 0.15 * (number == 1)
    assert rig.loop.report()["deadline_misses"] == 1
    assert len(list(rig.loop.run(4))) == 4


def test_another_fault_of_the_same_part_is_said_too(rig, caplog):
    rig.steps(3)
    with caplog.at_level(logging.WARNING):
        for fault in ("black", "size"):
            rig.faults.active = {fault}
            rig.steps(3)
        rig.faults.active = set()
        rig.steps(3)
    for words in ("right is black", "right gave uint8", "acting again"):
        assert caplog.text.count(words) == 1
