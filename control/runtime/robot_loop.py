"""The control loop of one robot, at a fixed rate: reports faults, holds the hand, recovers.

Needs the base install, and what the robot's own drivers need.
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
from opendactyl.control.runtime.realtime import check_mode, real_time
from opendactyl.control.runtime.telemetry import ACTING, COASTING, HOLDING, Status, Telemetry
from opendactyl.control.runtime.validation import (
    MAX_AGE,
    age_defect,
    check_goal,
    check_pose,
    check_reading,
)
from opendactyl.geometry.rotation import Array
from opendactyl.vision.estimator import Pose

log = logging.getLogger(__name__)


class RobotLoop:
    """Closes the loop from cameras to joint targets.

    Drivers, estimator and policy may raise any exception: it becomes a `Fault` in the status of
    the action, and its traceback is logged the first time it occurs. `EndOfRecording` ends the
    loop.
    """

    def __init__(
        self,
        bundle: Bundle,
        hand: Hand,
        source: PoseSource,
        goals: GoalSource,
        *,
        patience: float = PATIENCE,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        realtime: str = "auto",
    ) -> None:
        """Sends nothing to the hand until `step` or `run`.

        Args:
            bundle: provides the policy and the control period.
            hand: the hand.
            source: provides the object's pose.
            goals: provides the goal orientations.
            patience: seconds for which the last valid pose is used; then the hand is held still.
            max_age: largest age in seconds of hand readings that state when they were measured.
            clock: a monotonic clock in seconds, that of the readings' times.
            sleep: waits for a number of seconds.
            realtime: scheduling within `run`: auto, which is real-time where the system allows
                it, or off.
        """
        check_mode(realtime)
        self._realtime = realtime
        self.period = bundle.period
        self.telemetry = Telemetry(bundle.period)
        self.hand, self.source, self.goals = hand, source, goals
        self._controller = Controller(bundle, patience=patience)
        self._hand_interface = bundle.hand
        self._started = False
        self._goal: Array | None = None
        self._clock, self._sleep, self._max_age = clock, sleep, max_age
        self._reached = 0

    def restart(self) -> None:
        """Clears pose, goal and policy memory; targets restart at the next joint reading."""
        self._started, self._goal = False, None
        self._reached += self.goals.reached
        self.source.restart()
        self.goals.restart()

    def run(self, actions: int | None = None) -> Iterator[Status]:
        """Takes actions at the control rate, up to `actions` or the end of a recording."""
        with real_time(self._realtime) as self.telemetry.scheduling:
            yield from self._run(actions)

    def _run(self, actions: int | None) -> Iterator[Status]:
        due, taken = self._clock(), 0
        while actions is None or taken < actions:
            try:
                status = self.step()
            except EndOfRecording as end:
                log.info("action %d: %s", self.telemetry.actions, end)
                return
            taken += 1
            yield status
            # The consumer of the status takes time as well.
            self.telemetry.misses += status.seconds <= self.period < self._clock() - due
            # After a miss the schedule restarts now: no burst of actions to catch up.
            due = max(due + self.period, self._clock())
            self._sleep(max(0.0, due - self._clock()))

    def step(self) -> Status:
        """Takes one action.

        Raises:
            EndOfRecording: a recording has no more frames.
        """
        began = self._clock()
        faults: list[Fault] = []
        reading = self._read(faults)
        if reading is not None and not self._started:
            self._controller.start(reading.joints[None])
            self._started = True
        self._update_pose(reading, faults)
        before = self._controller.targets.copy()
        if reading is not None and self._goal is not None:
            self._decide(reading, before, faults)
        if self._started:
            self._send(before, faults)
        hold = self._goal is None or any(fault.component == "hand" for fault in faults)
        return self._status(faults, hold, self._clock() - began)

    def report(self) -> dict[str, Any]:
        """Goals, actions, misses, states, faults, and percentiles of each stage in milliseconds.

        `scheduling` is `fifo` if `run` had real-time scheduling.
        """
        return {"goals": self._reached + self.goals.reached, **self.telemetry.report()}

    def _fault(self, component: str, what: str, error: Exception) -> Fault:
        self.telemetry.log_traceback(error)
        return as_fault(component, what, error)

    def _read(self, faults: list[Fault]) -> HandReading | None:
        began = self._clock()
        try:
            reading = self.hand.read()
            check_reading(reading, self._hand_interface)
            self._check_age(reading)
        except EndOfRecording:
            raise
        except Exception as error:
            faults.append(self._fault("hand", "cannot read the hand", error))
            return None
        finally:
            self.telemetry.durations.add("hand", self._clock() - began)
        return reading

    def _check_age(self, reading: HandReading) -> None:
        if reading.time is not None:
            defect = age_defect(reading.time, self._clock(), self._max_age)
            if defect:
                raise Fault("hand", f"the hand's reading {defect}")

    def _update_pose(self, reading: HandReading | None, faults: list[Fault]) -> None:
        pose: Pose | None = None
        try:
            if reading is None:
                self.source.skip()
            else:
                pose = self._estimate(reading)
        except EndOfRecording:
            raise
        except Exception as error:
            faults.append(self._fault("pose", "no estimate", error))
        self._controller.observe(0, pose)
        if pose is not None:
            self._update_goal(pose, faults)

    def _estimate(self, reading: HandReading) -> Pose:
        try:
            return check_pose(self.source.pose(reading))
        finally:
            for stage, seconds in self.source.seconds.items():
                self.telemetry.durations.add(stage, seconds)

    def _update_goal(self, pose: Pose, faults: list[Fault]) -> None:
        """Gets the goal; after a fault the last one stays."""
        try:
            self._goal = check_goal(self.goals.goal(pose), self._controller.hinges.shape[1])
        except EndOfRecording:
            raise
        except Exception as error:
            faults.append(self._fault("goal", "no goal", error))

    def _decide(self, reading: HandReading, before: Array, faults: list[Fault]) -> None:
        assert self._goal is not None
        began = self._clock()
        try:
            values = (reading.fingertips, reading.joints, self._goal)
            sensed = {"touch": reading.touch, "forces": reading.forces}
            self._controller.act(
                np.array([0]),
                *(value[None] for value in values),
                **{name: value[None] for name, value in sensed.items() if value is not None},
            )
        except Exception as error:
            faults.append(self._fault("policy", "cannot run the policy", error))
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
            fault = self._fault("hand", "cannot command the hand", error)
            if not any(fault.component == "hand" for fault in faults):
                faults.append(fault)
            # The next targets must start from those that the hand has received.
            self._controller.restore(before)
        finally:
            self.telemetry.durations.add("command", self._clock() - began)

    def _status(self, faults: list[Fault], hold: bool, seconds: float) -> Status:
        controller = self._controller
        state = COASTING if controller.age[0] else ACTING
        if hold or controller.holding[0]:
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
