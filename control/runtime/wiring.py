"""Whether each camera is the one it claims to be, upright, unmirrored and RGB.

An estimator is most certain with the wiring that it was trained with: the differential entropy of
its estimate, half the log determinant of the covariance, grows with each mistake. Frames to which
the correction of a mistake was applied are therefore compared with the frames themselves.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.control.runtime.interfaces import Fault
from opendactyl.vision.estimator import Pose

Frames = Sequence[NDArray[np.uint8]]
"""Simultaneous frames (H, W, 3), one per camera."""
MIN_GAIN, MIN_GAIN_OF_GEOMETRY = 0.1, 1.0
"""Mean decrease of the entropy, in nats, from which a correction is taken for right: of colours,
and of the geometry. In 45 recordings (`benchmarks.studies.wiring`) right wiring lost at least 0.27
by any correction; mistakes in the colours gained at least as much by theirs, others 1.3. A camera
that has moved may gain up to 0.7 by a correction of its geometry."""
INVALID = 1e3
"""Entropy of an estimate without a valid covariance."""
LOST = -4.0
"""Sum of decreases in nats from which a correction is tested no further."""
CONFIRMATIONS = 4
"""Further actions in which the monitor tests a mistake before it reports it."""
INTERVAL = 8
"""Actions from one test to the next after the monitor has tested every mistake once."""


class Change(NamedTuple):
    """What is done to an image: mirrored first, then rotated."""

    turns: int = 0
    """Quarter turns, counter-clockwise."""
    mirrored: bool = False
    bgr: bool = False

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the changed image (H, W, 3)."""
        flipped = np.rot90(image[:, ::-1] if self.mirrored else image, self.turns)
        return np.ascontiguousarray(flipped[..., ::-1] if self.bgr else flipped)

    def defect(self) -> str:
        """The mistake that this change corrects, as a predicate; empty for no change."""
        rotated = {0: "", 1: "rotated by 90° clockwise", 2: "upside down",
                   3: "rotated by 90° counter-clockwise"}[self.turns]  # fmt: skip
        colours = "BGR instead of RGB" if self.bgr else ""
        found = filter(None, ("mirrored" if self.mirrored else "", rotated, colours))
        return " and ".join(found)


UNCHANGED = Change()


@dataclass(frozen=True)
class Mistake:
    """A mistake in the wiring, as its correction."""

    sources: tuple[int, ...]
    """For each camera, the index of the frame that is really its own."""
    changes: tuple[Change, ...]
    """For each camera, the change of this frame that makes it right."""

    @property
    def min_gain(self) -> float:
        """The mean decrease of the entropy in nats by which the mistake is recognised."""
        unmoved = self.sources == tuple(range(len(self.sources)))
        geometry = any(change.mirrored or change.turns for change in self.changes)
        return MIN_GAIN if unmoved and not geometry else MIN_GAIN_OF_GEOMETRY

    def corrected(self, frames: Frames) -> list[NDArray[np.uint8]]:
        """Returns the frames as they should be."""
        pairs = zip(self.sources, self.changes, strict=True)
        return [change(frames[source]) for source, change in pairs]

    def defects(self, names: Sequence[str]) -> dict[str, str]:
        """What is wrong with each camera, as a predicate; cameras without a defect are left out."""
        found = {
            names[view]: f"is {change.defect()}"
            for view, change in enumerate(self.changes)
            if change != UNCHANGED
        }
        shown = {source: view for view, source in enumerate(self.sources) if view != source}
        return found | {names[own]: f"shows the images of {names[v]}" for own, v in shown.items()}

    def describe(self, names: Sequence[str]) -> str:
        """Names the mistake, such as "left and right are swapped"."""
        moved = [names[view] for view, source in enumerate(self.sources) if view != source]
        if len(moved) == 2:
            return f"{moved[0]} and {moved[1]} are swapped"
        defects = self.defects(names)
        if len(defects) == len(names) > 1 and len(set(defects.values())) == 1:
            return f"all cameras are {self.changes[0].defect()}"
        return ", ".join(f"{name} {defect}" for name, defect in defects.items())


def mistakes(shapes: Sequence[tuple[int, ...]]) -> list[Mistake]:
    """The mistakes that cannot be told by the shapes (H, W, 3) of the cameras' frames alone."""
    views = range(len(shapes))
    unmoved, unchanged = tuple(views), (UNCHANGED,) * len(shapes)
    swapped = [
        tuple(j if v == i else i if v == j else v for v in views) for i, j in combinations(views, 2)
    ]
    orders = list(permutations(views)) if len(shapes) <= 3 else swapped
    found = [
        Mistake(order, unchanged)
        for order in orders
        if order != unmoved and all(shapes[v] == shapes[s] for v, s in enumerate(order))
    ]
    for change in (Change(bgr=True), Change(mirrored=True), Change(2), Change(2, mirrored=True)):
        found += [Mistake(unmoved, _only(v, change, len(shapes))) for v in views]
        if len(shapes) > 1:
            found.append(Mistake(unmoved, (change,) * len(shapes)))
    for view in (v for v in views if shapes[v][0] == shapes[v][1]):
        found += [Mistake(unmoved, _only(view, Change(t), len(shapes))) for t in (1, 3)]
    return found


def _only(view: int, change: Change, count: int) -> tuple[Change, ...]:
    return tuple(change if v == view else UNCHANGED for v in range(count))


def entropy(pose: Pose) -> float:
    """Differential entropy of an estimate in nats, up to a constant."""
    sign, log_determinant = np.linalg.slogdet(pose.covariance)
    return float(log_determinant / 2) if sign > 0 and np.isfinite(log_determinant) else INVALID


def likeliest_mistake(
    moments: Sequence[Frames], estimate: Callable[[Frames], Pose]
) -> tuple[Mistake | None, float]:
    """The mistake whose correction decreases the entropy most, and the mean decrease in nats.

    Args:
        moments: some frame sets of one recording.
        estimate: the estimator.

    Returns:
        None if no correction gains enough, see `Mistake.min_gain`.
    """
    own = np.array([entropy(estimate(frames)) for frames in moments])
    best: tuple[Mistake | None, float] = (None, -math.inf)
    for mistake in mistakes([frame.shape for frame in moments[0]]):
        gains: list[float] = []
        for before, frames in zip(own, moments, strict=True):
            gains.append(before - entropy(estimate(mistake.corrected(frames))))
            if sum(gains) < LOST:
                break
        gain = float(np.mean(gains))
        if len(gains) == len(own) and gain > max(best[1], mistake.min_gain):
            best = (mistake, gain)
    return best


@dataclass(eq=False)
class WiringMonitor:
    """Tests the wiring in the loop, by one more estimate in an action.

    Every mistake is tested once in the first actions. Those whose correction has a gain are then
    tested in `CONFIRMATIONS` further actions each, the best first, until one is confirmed. From
    then on each action raises a `Fault`, until corrected frames lose. After a round in which no
    correction had a gain, only one action in `INTERVAL` has a test.
    """

    names: Sequence[str]
    """The cameras."""
    estimate: Callable[[Frames], Pose]
    """The estimator."""
    _gains: list[tuple[float, Mistake]] = field(default_factory=list)
    _suspects: list[Mistake] = field(default_factory=list)
    _confirmations: list[float] = field(default_factory=list)
    _interval: int = 1
    _actions: int = 0
    _tested: bool = False

    def restart(self) -> None:
        """Tests every mistake again in the next actions."""
        self._gains, self._suspects, self._confirmations = [], [], []
        self._interval, self._actions, self._tested = 1, 0, False

    @property
    def undecided(self) -> bool:
        """Whether the first round is not over, or a mistake is suspected."""
        return not self._tested or bool(self._suspects)

    def update(self, frames: Frames, pose: Pose) -> None:
        """Tests a mistake, if one is due.

        Args:
            frames: the frames of this action, one per camera.
            pose: their estimate.

        Raises:
            Fault: the wiring is wrong; `component` is `wiring`.
        """
        self._actions += 1
        if self._suspects:
            self._confirm(self._suspects[0], frames, pose)
        elif self._actions % self._interval == 0:
            self._test_next(frames, pose)

    def _gain(self, mistake: Mistake, frames: Frames, pose: Pose) -> float:
        return entropy(pose) - entropy(self.estimate(mistake.corrected(frames)))

    def _test_next(self, frames: Frames, pose: Pose) -> None:
        known = mistakes([frame.shape for frame in frames])
        if not known:
            return
        mistake = known[len(self._gains) % len(known)]
        self._gains.append((self._gain(mistake, frames, pose), mistake))
        if len(self._gains) >= len(known):
            ordered = sorted(self._gains, key=lambda entry: entry[0], reverse=True)
            self._suspects = [mistake for gain, mistake in ordered if gain > 0]
            self._gains, self._interval = [], 1 if self._suspects else INTERVAL
            self._tested = True

    def _confirm(self, suspect: Mistake, frames: Frames, pose: Pose) -> None:
        self._confirmations.append(self._gain(suspect, frames, pose))
        gain = float(np.mean(self._confirmations[-CONFIRMATIONS:]))
        if not gain > suspect.min_gain:
            self._suspects, self._confirmations = self._suspects[1:], []
        elif len(self._confirmations) >= CONFIRMATIONS:
            raise Fault(
                "wiring",
                f"{suspect.describe(self.names)}: corrected, the estimate's uncertainty decreases "
                f"by {gain:.1f} nats (`opendactyl rig check` tests the wiring)",
            )
