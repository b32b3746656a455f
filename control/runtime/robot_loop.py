"""The loop of one robot, at a fixed rate: it says what went wrong, holds still, and recovers.

It needs numpy, onnxruntime and Pillow, and whatever the rig's own parts need.
"""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from opendactyl.control.bundle.load import Bundle
from opendactyl.control.runtime.controller import PATIENCE, Controller
from opendactyl.control.runtime.interfaces import (
    EndOfRecording,
    Fault,
    GoalSource,
    Hand,
    HandReading,
    PoseSource,
    as_fault,
)
from opendactyl.control.runtime.telemetry import ACTING, COASTING, HOLDING, Status, Telemetry
from opendactyl.control.runtime.validation import check_goal, check_pose, check_reading
from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

log = logging.getLogger(__name__)


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
        self.telemetry = Telemetry(bundle.period)
        self.hand, self.source, self.goals = hand, source, goals
        self._controller = Controller(bundle, patience=patience)
        self._started = False
        self._goal: Array | None = None
        self._clock, self._sleep = clock, sleep
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
            except EndOfRecording as over:
                log.info("action %d: %s", self.telemetry.actions, over)
                return
            taken += 1
            yield status
            # Whoever looks at the status takes time as well.
            self.telemetry.misses += status.seconds <= self.period < self._clock() - due
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
            self._controller.start(reading.joints[None])
            self._started = True
        self._look(reading, faults)
        before = self._controller.targets.copy()
        if reading is not None and self._goal is not None:
            self._decide(reading, before, faults)
        if self._started:
            self._send(before, faults)
        still = self._goal is None or any(fault.part == "hand" for fault in faults)
        return self._status(faults, still, self._clock() - began)

    def report(self) -> dict[str, Any]:
        """Goals, actions, misses, states, faults, and percentiles of each part in milliseconds."""
        return {"goals": self._reached + self.goals.reached, **self.telemetry.report()}

    def _read(self, faults: list[Fault]) -> HandReading | None:
        began = self._clock()
        try:
            reading = self.hand.read()
            check_reading(reading)
        except EndOfRecording:
            raise
        except Exception as error:
            # A driver may raise anything; the loop must outlive it.
            faults.append(as_fault("hand", "the hand does not answer", error))
            return None
        finally:
            self.telemetry.durations.add("hand", self._clock() - began)
        return reading

    def _look(self, reading: HandReading | None, faults: list[Fault]) -> None:
        pose: Pose | None = None
        try:
            if reading is None:
                self.source.skip()
            else:
                pose = self._estimate(reading)
        except EndOfRecording:
            raise
        except Exception as error:
            faults.append(as_fault("pose", "there is no estimate", error))
        self._controller.see(0, pose)
        if pose is not None:
            self._aim(pose, faults)

    def _estimate(self, reading: HandReading) -> Pose:
        try:
            return check_pose(self.source.pose(reading))
        finally:
            for part, seconds in self.source.seconds.items():
                self.telemetry.durations.add(part, seconds)

    def _aim(self, pose: Pose, faults: list[Fault]) -> None:
        """Takes the next goal; without one, the last stays."""
        try:
            self._goal = check_goal(self.goals.goal(pose))
        except EndOfRecording:
            raise
        except Exception as error:
            faults.append(as_fault("goal", "there is no goal", error))

    def _decide(self, reading: HandReading, before: Array, faults: list[Fault]) -> None:
        assert self._goal is not None
        began = self._clock()
        try:
            self._controller.act(
                np.array([0]), reading.fingertips[None], reading.joints[None], self._goal[None]
            )
        except Exception as error:
            faults.append(as_fault("policy", "the policy does not run", error))
            self._controller.invalid_action[0] = True
            self._controller.restore(before)
        else:
            if self._controller.invalid_action[0]:
                faults.append(Fault("policy", "the policy's output is not finite"))
        self.telemetry.durations.add("policy", self._clock() - began)

    def _send(self, before: Array, faults: list[Fault]) -> None:
        began = self._clock()
        try:
            self.hand.command(self._controller.targets[0].copy())
        except EndOfRecording:
            raise
        except Exception as error:
            if not any(fault.part == "hand" for fault in faults):
                faults.append(as_fault("hand", "the hand takes no targets", error))
            # What it did not get must not be what the next target starts from.
            self._controller.restore(before)
        finally:
            self.telemetry.durations.add("command", self._clock() - began)

    def _status(self, faults: list[Fault], still: bool, seconds: float) -> Status:
        controller = self._controller
        state = COASTING if controller.age[0] else ACTING
        if still or controller.holding[0]:
            state = HOLDING
        status = Status(
            number=self.telemetry.actions,
            state=state,
            faults=tuple(faults),
            position=controller.position[0].copy(),
            quaternion=controller.quaternion[0].copy(),
            goal=None if self._goal is None else self._goal.copy(),
            targets=controller.targets[0].copy() if self._started else None,
            seconds=seconds,
        )
        self.telemetry.add(status)
        return status
