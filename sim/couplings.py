"""Joints that follow others: `<mimic>` of a URDF, `<equality><joint>` of an MJCF."""

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import mujoco
import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import Array


@dataclass(frozen=True)
class Coupling:
    """A joint whose position is a polynomial of that of another, both relative to `qpos0`."""

    follower: int
    """Index of the joint."""
    leader: int | None
    """Index of the joint that it follows; None: it is constant."""
    coefficients: tuple[float, ...]
    """The constant first."""


class Couplings:
    """The joints of a model that follow others."""

    def __init__(self, model: mujoco.MjModel, where: str) -> None:
        """Reads the active constraints between joints.

        Args:
            model: the compiled model.
            where: the hand or scene, for messages.

        Raises:
            InputError: joints follow each other in a circle, one follows two, or an actuator moves
                one that follows another.
        """
        self._model = model
        found: dict[int, Coupling] = {}
        active = (model.eq_type == mujoco.mjtEq.mjEQ_JOINT) & model.eq_active0.astype(bool)
        for number in np.flatnonzero(active).tolist():
            follower, leader = int(model.eq_obj1id[number]), int(model.eq_obj2id[number])
            if follower in found:
                raise InputError(
                    f"{where}: joint {model.joint(follower).name} follows two others; remove one "
                    "of the couplings (<equality>, <mimic>) from the model"
                )
            coefficients = model.eq_data[number, :5] if leader >= 0 else model.eq_data[number, :1]
            found[follower] = Coupling(
                follower, leader if leader >= 0 else None, tuple(coefficients.tolist())
            )
        self.ordered = tuple(found[joint] for joint in self._order(found, where))
        """Each after that of the joint that it follows."""
        self._check_actuators(where)

    def _check_actuators(self, where: str) -> None:
        names, model = self.names, self._model
        for number in np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT).tolist():
            moved = model.joint(int(model.actuator_trnid[number, 0])).name
            if moved in names:
                raise InputError(
                    f"{where}: actuator {model.actuator(number).name} moves joint {moved}, which "
                    f"follows {names[moved] or 'none, it is constant'}; take it out of actuators"
                )

    def _order(self, found: dict[int, Coupling], where: str) -> list[int]:
        graph = {
            joint: [] if coupling.leader is None else [coupling.leader]
            for joint, coupling in found.items()
        }
        try:
            return [joint for joint in TopologicalSorter(graph).static_order() if joint in found]
        except CycleError as error:
            names = ", ".join(self._model.joint(joint).name for joint in error.args[1][1:])
            raise InputError(
                f"{where}: the joints {names} follow each other in a circle; remove one of the "
                "couplings (<equality>, <mimic>) from the model"
            ) from error

    def enforce(self, qpos: ArrayLike) -> Array:
        """A copy of qpos (..., nq), with each follower where the joint that it follows puts it."""
        qpos = np.array(qpos, dtype=np.float64)
        origin, address = self._model.qpos0, self._model.jnt_qposadr
        for coupling in self.ordered:
            own, moved = address[coupling.follower], 0.0
            if coupling.leader is not None:
                other = address[coupling.leader]
                moved = qpos[..., other] - origin[other]
            qpos[..., own] = origin[own] + polyval(moved, coupling.coefficients)
        return qpos

    @property
    def names(self) -> dict[str, str]:
        """For each joint that follows another: its name, and that of the other."""
        joints = self._model.joint
        return {
            joints(c.follower).name: "" if c.leader is None else joints(c.leader).name
            for c in self.ordered
        }

    def describe(self, prefix: str = "") -> str:
        """The joints and those that they follow, without a prefix of their names."""
        pairs = [(a.removeprefix(prefix), b.removeprefix(prefix)) for a, b in self.names.items()]
        return ", ".join(f"{a} (of {b or 'none'})" for a, b in pairs) or "none"
