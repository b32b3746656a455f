"""The loop of one robot, at a fixed rate: it says what went wrong, holds still, and recovers.

It needs numpy, onnxruntime and Pillow, and whatever the rig's own parts need.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from opendactyl.control.bundle import Bundle
from opendactyl.control.parts import Fault, GoalSource, Hand, HandReading, Over, PoseSource
from opendactyl.control.pilot import PATIENCE, Pilot
from opendactyl.control.sight import check_pose
from opendactyl.control.timing import Durations
from opendactyl.geometry.rotation import Array, quat_canonical
from opendactyl.sim.names import FINGERTIPS, JOINTS
from opendactyl.vision.estimator import Pose

log = logging.getLogger(__name__)

ACTING, COASTING, HOLDING = "acting", "coasting", "holding"
"""On a fresh pose; on the last good one; not moving the hand."""


@dataclass(frozen=True, eq=False)
class Status:
    """What one action brought."""

    number: int
    """Actions before this one."""
    state: str
    """`acting`, `coasting` or `holding`."""
    faults: tuple[Fault, ...]
    """What went wrong."""
    position: Array
    """The last good position (3,) of the object, in metres, in the hand frame."""
    quaternion: Array
    """The last good orientation (4,)."""
    goal: Array | None
    """The goal (4,); None before the first."""
    targets: Array | None
    """What the hand was sent (20,), in radians; None before it first answered."""
    seconds: float
    """How long the action took."""


class RobotLoop:
    """Closes the loop from cameras to joint targets."""

    def __init__(
        self,
        bundle: Bundle,
        hand: Hand,
        source: PoseSource,
        goals: GoalSource,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Moves nothing until `step` or `run`.

        Args:
            bundle: estimator and policy.
            hand: the hand.
            source: where the object's pose comes from.
            goals: which orientation comes next.
            patience: how long the last good pose serves, in seconds; then the hand is held still.
            clock: seconds that never go back.
            sleep: waits for so many seconds.
        """
        self.period = bundle.period
        self.hand, self.source, self.goals = hand, source, goals
        self.durations = Durations()
        self.actions = 0
        self.misses = 0
        """Actions after which the next began late."""
        self.states: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        """Actions with a fault, by the part that had it."""
        self._pilot = Pilot(bundle, patience=patience)
        self._started = False
        self._goal: Array | None = None
        self._clock, self._sleep = clock, sleep
        self._said: tuple[str, ...] = ()
        self._reached = 0

    def restart(self) -> None:
        """Forgets pose, goal and the policy's memory; targets start where the hand stands next."""
        self._started, self._goal = False, None
        self._reached += self.goals.reached
        self.source.restart()
        self.goals.restart()

    def run(self, actions: int | None = None) -> Iterator[Status]:
        """Takes actions at the control rate, until `actions` are taken or a recording is over."""
        due, taken = self._clock(), 0
        while actions is None or taken < actions:
            try:
                status = self.step()
            except Over as over:
                log.info("action %d: %s", self.actions, over)
                return
            taken += 1
            yield status
            # Whoever looks at the status takes time as well.
            self.misses += status.seconds <= self.period < self._clock() - due
            # After a miss the clock starts anew: no burst of actions catches up.
            due = max(due + self.period, self._clock())
            self._sleep(max(0.0, due - self._clock()))

    def step(self) -> Status:
        """Takes one action.

        Raises:
            Over: a recording is over.
        """
        began = self._clock()
        faults: list[Fault] = []
        reading = self._read(faults)
        if reading is not None and not self._started:
            self._pilot.start(reading.joints[None])
            self._started = True
        self._look(reading, faults)
        before = self._pilot.targets.copy()
        if reading is not None and self._goal is not None:
            self._decide(reading, before, faults)
        if self._started:
            self._send(before, faults)
        still = self._goal is None or any(fault.part == "hand" for fault in faults)
        return self._status(faults, still, self._clock() - began)

    def report(self) -> dict[str, Any]:
        """Actions, misses, states, faults, and percentiles of each part in milliseconds."""
        return {
            "actions": self.actions,
            "goals": self._reached + self.goals.reached,
            "deadline_misses": self.misses,
            "period_ms": self.period * 1000,
            "states": dict(self.states),
            "faults": dict(self.faults),
            "milliseconds": self.durations.summary(),
        }

    def _read(self, faults: list[Fault]) -> HandReading | None:
        began = self._clock()
        try:
            reading = self.hand.read()
            _check_reading(reading)
        except Over:
            raise
        except Exception as error:
            # A driver may raise anything; the loop must outlive it.
            faults.append(_as_fault("hand", "the hand does not answer", error))
            return None
        finally:
            self.durations.add("hand", self._clock() - began)
        return reading

    def _look(self, reading: HandReading | None, faults: list[Fault]) -> None:
        pose: Pose | None = None
        try:
            if reading is None:
                self.source.skip()
            else:
                pose = self._estimate(reading)
        except Over:
            raise
        except Exception as error:
            faults.append(_as_fault("pose", "there is no estimate", error))
        self._pilot.see(0, pose)
        if pose is not None:
            self._aim(pose, faults)

    def _estimate(self, reading: HandReading) -> Pose:
        try:
            return check_pose(self.source.pose(reading))
        finally:
            for part, seconds in self.source.seconds.items():
                self.durations.add(part, seconds)

    def _aim(self, pose: Pose, faults: list[Fault]) -> None:
        """Takes the next goal; without one, the last stays."""
        try:
            goal = np.asarray(self.goals.goal(pose), dtype=np.float64)
            if goal.shape != (4,) or not abs(np.linalg.norm(goal) - 1.0) < 0.01:
                raise Fault("goal", f"the goal {goal} is no rotation")
            self._goal = quat_canonical(goal)
        except Over:
            raise
        except Exception as error:
            faults.append(_as_fault("goal", "there is no goal", error))

    def _decide(self, reading: HandReading, before: Array, faults: list[Fault]) -> None:
        assert self._goal is not None
        began = self._clock()
        try:
            self._pilot.act(
                np.array([0]), reading.fingertips[None], reading.joints[None], self._goal[None]
            )
        except Exception as error:
            faults.append(_as_fault("policy", "the policy does not run", error))
            self._pilot.confused[0] = True
            self._pilot.restore(before)
        else:
            if self._pilot.confused[0]:
                faults.append(Fault("policy", "the policy's output is not finite"))
        self.durations.add("policy", self._clock() - began)

    def _send(self, before: Array, faults: list[Fault]) -> None:
        began = self._clock()
        try:
            self.hand.command(self._pilot.targets[0].copy())
        except Over:
            raise
        except Exception as error:
            if not any(fault.part == "hand" for fault in faults):
                faults.append(_as_fault("hand", "the hand takes no targets", error))
            # What it did not get must not be what the next target starts from.
            self._pilot.restore(before)
        finally:
            self.durations.add("command", self._clock() - began)

    def _status(self, faults: list[Fault], still: bool, seconds: float) -> Status:
        pilot = self._pilot
        state = COASTING if pilot.age[0] else ACTING
        if still or pilot.holding[0]:
            state = HOLDING
        self._log(state, faults)
        status = Status(
            number=self.actions,
            state=state,
            faults=tuple(faults),
            position=pilot.position[0].copy(),
            quaternion=pilot.quaternion[0].copy(),
            goal=None if self._goal is None else self._goal.copy(),
            targets=pilot.targets[0].copy() if self._started else None,
            seconds=seconds,
        )
        self.actions += 1
        self.misses += seconds > self.period
        self.states[state] += 1
        self.faults.update({fault.part for fault in faults})
        self.durations.add("total", seconds)
        return status

    def _log(self, state: str, faults: list[Fault]) -> None:
        """Says what happened when it begins and when it ends, not at every action."""
        # Figures change from action to action; what they say does not.
        said = (state, *(re.sub(r"[\d.]+", "", str(fault)) for fault in faults))
        if said == self._said:
            return
        if faults:
            log.warning("action %d: %s; %s", self.actions, "; ".join(map(str, faults)), state)
        elif self._said:
            log.warning("action %d: %s again", self.actions, state)
        self._said = said


def _as_fault(part: str, what: str, error: Exception) -> Fault:
    return error if isinstance(error, Fault) else Fault(part, f"{what} ({error!r})")


def _check_reading(reading: HandReading) -> None:
    if reading.joints.shape != (len(JOINTS),) or reading.fingertips.shape != (len(FINGERTIPS), 3):
        raise Fault(
            "hand",
            f"the hand gave angles {reading.joints.shape} and fingertips "
            f"{reading.fingertips.shape}, not ({len(JOINTS)},) and ({len(FINGERTIPS)}, 3)",
        )
    if not (np.isfinite(reading.joints).all() and np.isfinite(reading.fingertips).all()):
        raise Fault("hand", "the hand gave angles that are not numbers")
