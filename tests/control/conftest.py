"""Fixtures: a bundle to modify, and a loop of simple components that can fail."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle
from opendactyl.control.evaluation.fault_injection import FaultInjector
from opendactyl.control.runtime.goals import TaskGoals
from opendactyl.control.runtime.interfaces import HandReading
from opendactyl.control.runtime.pose_filter import FilteredPose
from opendactyl.control.runtime.robot_loop import RobotLoop
from opendactyl.control.runtime.telemetry import Status
from opendactyl.control.runtime.vision_pose import VisionPose
from opendactyl.core.atomic_files import read_json
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.vision.estimator import Pose

SHIPPED = Path(__file__).parents[2] / "pretrained" / "reorient"


@pytest.fixture(scope="session")
def opendactyl(python) -> Callable[..., str]:
    """Runs a verb in a folder, in a process of its own, which must succeed; returns its output."""

    def run(cwd: Path, *arguments: object) -> str:
        done = python("-m", "opendactyl.cli.main", *arguments, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def msat_bundle(opendactyl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an action transformer, trained on the shipped estimator's tokens in `run`."""
    folder = tmp_path_factory.mktemp("msat")
    opendactyl(
        folder, "train-policy", "--driver", "msat", "--teacher", SHIPPED, "--vision", SHIPPED,
        "--out", "run", "--num-envs", 2, "--horizon", 12, "--updates", 1, "--batch-size", 8,
        "--buffer", 60, "--chunk", 2, "--execute", 2, "--euler-steps", 1, "--max-actions", 120,
        "--eval-episodes", 1,
    )  # fmt: skip
    opendactyl(folder, "export", "--vision", SHIPPED, "--policy", "run", "--out", "bundle")
    return folder / "bundle"


@pytest.fixture(scope="session")
def face_cube_folder(opendactyl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datasets `train` and `val`, runs `vision` and `policy`, and the bundle of a face cube."""
    folder = tmp_path_factory.mktemp("face-cube")
    for seed, (name, count) in enumerate({"train": 8, "val": 4}.items()):
        opendactyl(
            folder, "dataset", "--object", "face-cube", "--out", name, "--num-samples", count,
            "--shard-size", 4, "--image-size", 64, "--workers", 1, "--seed", seed,
        )  # fmt: skip
    opendactyl(
        folder, "train-vision", "--data", "train", "--val-data", "val", "--out", "vision",
        "--image-size", 64, "--batch-size", 4, "--max-epochs", 1, "--max-minutes", 3,
        "--workers", 0,
    )  # fmt: skip
    opendactyl(
        folder, "train-policy", "--object", "face-cube", "--task", "rotate-face",
        "--out", "policy", "--num-envs", 8, "--horizon", 4, "--minibatches", 2, "--epochs", 1,
        "--max-actions", 320, "--eval-episodes", 2,
    )  # fmt: skip
    opendactyl(folder, "export", "--vision", "vision", "--policy", "policy", "--out", "bundle")
    return folder


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "bundle")


@pytest.fixture
def edit_manifest(copy: Path) -> Callable[[Callable[[dict], object]], None]:
    """Applies a function to the manifest of the copied bundle."""

    def edit(change: Callable[[dict], object]) -> None:
        manifest = read_json(copy / "manifest.json")
        change(manifest)
        (copy / "manifest.json").write_text(json.dumps(manifest))

    return edit


SQUARE = 8
"""Sides of the squares of `NoisyCameras`, in pixels."""


class Clock:
    """A clock that advances only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class SpringHand:
    """A hand whose joints move half the distance to their targets with each command."""

    def __init__(self) -> None:
        self.joints = np.zeros(24)
        self.sent: list[np.ndarray] = []
        self.closed = False

    def read(self) -> HandReading:
        return HandReading(self.joints.copy(), np.full((5, 3), self.joints.mean()))

    def command(self, targets: np.ndarray) -> None:
        self.sent.append(targets)
        hand = hand_spec()
        moved = [hand.joints.index(name.removeprefix("A_")) for name in hand.actuators]
        self.joints[moved] += 0.5 * (targets - self.joints[moved])

    def close(self) -> None:
        self.closed = True


class NoisyCameras:
    """Images of random squares, all different; noise of single pixels would be one colour."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(0)
        self.closed = False

    def read(self) -> list[np.ndarray]:
        views, height, width, _ = self.shape
        coarse = (views, -(-height // SQUARE), -(-width // SQUARE), 3)
        squares = self.rng.integers(0, 256, coarse, dtype=np.uint8)
        return list(squares.repeat(SQUARE, 1).repeat(SQUARE, 2)[:, :height, :width])

    def close(self) -> None:
        self.closed = True


class ConstantEstimator:
    """An estimator that returns the same pose with a little noise for all images."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(1)
        self.calls = 0

    def estimate(self, images: np.ndarray) -> Pose:
        assert images.dtype == np.uint8 and images.shape == self.shape
        self.calls += 1
        position = np.array([0.0, 0.0, 0.03]) + self.rng.normal(0, 0.001, 3)
        return Pose(position, np.array([1.0, 0, 0, 0]), np.diag([1e-6] * 3 + [1e-3] * 3))


class Rig:
    """A loop of simple hand, cameras and estimator, with fault injection."""

    patience = 3
    """Number of actions for which the last valid pose is used."""

    def __init__(self, bundle: Path) -> None:
        loaded = load_bundle(bundle, threads=1)
        self.estimator = ConstantEstimator(loaded.estimator.shape)
        loaded = dataclasses.replace(loaded, estimator=self.estimator)
        self.low, self.high = loaded.decoder().low, loaded.decoder().high
        self.faults = FaultInjector(view=1)
        self.hand = SpringHand()
        self.cameras = NoisyCameras(loaded.estimator.shape)
        vision = VisionPose(loaded, self.faults.cameras(self.cameras))
        source = FilteredPose(self.faults.source(vision))
        self.clock = Clock()
        self.loop = RobotLoop(
            self.faults.bundle(loaded), self.faults.hand(self.hand), source,
            TaskGoals("reorient"), patience=self.patience * 0.08,
            clock=self.clock, sleep=self.clock.sleep,
        )  # fmt: skip

    def steps(self, count: int) -> list[Status]:
        return [self.loop.step() for _ in range(count)]


@pytest.fixture
def rig(bundle: Path, request: pytest.FixtureRequest) -> Rig:
    """The loop with a recurrent policy, or with an action transformer by the parameter "msat"."""
    is_msat = getattr(request, "param", "") == "msat"
    return Rig(request.getfixturevalue("msat_bundle") if is_msat else bundle)
