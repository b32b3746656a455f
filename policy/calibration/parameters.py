"""The parameters of a fit: chains of the hand, names, prior, bounds, and their meaning."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.randomization.backlash import calibrated_rates
from opendactyl.policy.randomization.config import PRESETS
from opendactyl.policy.randomization.model_fields import link_names
from opendactyl.policy.randomization.physics import Physics, sample
from opendactyl.sim.scene import Scene
from opendactyl.sim.timing import TIMESTEP

Numbers = NDArray[np.intp]
Values = dict[str, Array]
"""For each kind the values (P, n) of P sets of parameters, in its unit."""


@dataclass(frozen=True)
class Kind:
    """A kind of parameter: the normal prior of its coordinate, its value or the logarithm.

    Finite differences are not small, since slack and whole physics steps make motions uneven.
    """

    what: str
    """joint, actuator or link."""
    unit: str
    """The unit of the value; ×: a factor of the model's value."""
    mean: float
    deviation: float
    low: float
    high: float
    step: float
    """Step of the finite differences."""
    is_log: bool = True


KINDS = {
    "gain": Kind("actuator", "×", 0.0, 0.5, -2.0, 2.0, 0.02),
    "damping": Kind("joint", "×", 0.0, 0.8, -3.0, 3.0, 0.025),
    "armature": Kind("joint", "×", 0.0, 0.7, -3.0, 3.0, 0.05),
    "friction_loss": Kind("joint", "N m", np.log(3e-3), 1.5, np.log(1e-5), np.log(0.5), 0.075),
    "mass": Kind("link", "×", 0.0, 0.3, -1.0, 1.0, 0.025),
    "offset": Kind("joint", "rad", 0.0, 0.05, -0.5, 0.5, 2e-3, is_log=False),
    "delay": Kind("actuator", "s", 0.04, 0.05, 0.0, 0.3, TIMESTEP / 4, is_log=False),
    "slack_down": Kind("actuator", "1/(s rad)", 4.0, 1.5, np.log(2.0), 7.0, 0.06),
    "slack_up": Kind("actuator", "1/(s rad)", 4.0, 1.5, np.log(2.0), 7.0, 0.06),
}
"""Slacks are the rates at which they are taken up: exp(4) crosses its width in an action whose
command is 0.46 rad; the prior of the mass of a link has the deviation of preset `dactyl`."""


class Chains(NamedTuple):
    """The chain of each part; parameters of a chain hardly affect the motion of another."""

    joints: Numbers
    """(J,)."""
    actuators: Numbers
    """(A,)."""
    links: Numbers
    """Of some bodies (L,); -1: it does not move."""


class ParameterSpace:
    """The coordinates x (n,) of all parameters of a hand."""

    def __init__(
        self, scene: Scene, links: NDArray[np.intp], chains: Chains, efforts: bool
    ) -> None:
        """Lists the parameters.

        Args:
            scene: the hand.
            links: its bodies with mass (L,).
            chains: the chains of joints, actuators and links.
            efforts: whether torques are known; otherwise armatures are those of the model, which
                gives all torques their scale.
        """
        hand, model = scene.hand, scene.model
        self._nominal_friction = model.dof_frictionloss[scene.joint_dof]
        self._exponents = hand.backlash_exponents
        named = link_names(scene, links)
        self._template = sample(np.random.default_rng(0), PRESETS["none"], hand, named)
        self._moved = np.flatnonzero(chains.links >= 0)
        bodies = [named[i] for i in self._moved]
        names = {"joint": hand.joints, "actuator": hand.actuators, "link": bodies}
        chain = {
            "joint": chains.joints, "actuator": chains.actuators, "link": chains.links[self._moved],
        }  # fmt: skip
        self.kinds = [kind for kind in KINDS if efforts or kind != "armature"]
        self.slices: dict[str, slice] = {}
        self.labels: list[tuple[str, str]] = []
        """Kind and name of each (n,)."""
        chains_of, first = [], 0
        for kind in self.kinds:
            count = len(names[KINDS[kind].what])
            self.slices[kind] = slice(first, first + count)
            self.labels += [(kind, name) for name in names[KINDS[kind].what]]
            chains_of.append(chain[KINDS[kind].what])
            first += count
        self.chain = np.concatenate(chains_of)
        """(n,)."""
        self.mean, self.deviation, self.low, self.high, self.step = (
            np.array([getattr(KINDS[kind], name) for kind, _ in self.labels])
            for name in ("mean", "deviation", "low", "high", "step")
        )

    def __len__(self) -> int:
        return len(self.labels)

    def values(self, x: Array) -> Values:
        """The values of sets of parameters (P, n)."""
        return {
            kind: np.exp(x[:, part]) if KINDS[kind].is_log else x[:, part]
            for kind, part in self.slices.items()
        }

    def nominal(self) -> Array:
        """The coordinates (n,) of the model as it is, without delay and offset.

        Its slack is that of the prior; `nominal_values` has the hand's.
        """
        x = np.where([kind == "delay" for kind, _ in self.labels], 0.0, self.mean)
        x[self.slices["friction_loss"]] = np.log(np.maximum(self._nominal_friction, 1e-5))
        return x

    def nominal_values(self) -> Values:
        """The values of one set, the model as it is: with the slack of the hand's file, if any."""
        values = without_slack(self.values(self.nominal()[None]))
        if self._exponents is not None:
            down, up = calibrated_rates(self._exponents)
            values |= {"slack_down": down[None], "slack_up": up[None]}
        return values

    def physics(self, values: Values, number: int) -> Physics:
        """The physics of one set of parameters."""
        mass = np.ones(len(self._template.link_mass))
        mass[self._moved] = values["mass"][number]
        return dataclasses.replace(
            self._template,
            actuator_gain=values["gain"][number],
            joint_damping=values["damping"][number],
            joint_friction=values["friction_loss"][number] - self._nominal_friction,
            link_mass=mass,
            **({"joint_armature": values["armature"][number]} if "armature" in values else {}),
        )


def without_slack(values: Values) -> Values:
    """The same values with actuators whose slack has no width."""
    return values | {kind: np.zeros_like(values[kind]) for kind in ("slack_down", "slack_up")}


def find_chains(scene: Scene, links: Numbers) -> Chains:
    """The chains of joints, actuators and bodies `links` (L,).

    A chain begins at a joint without a moving body below it, and where a body carries several.
    """
    model = scene.model
    bodies = model.jnt_bodyid[scene.joint_ids]
    moving = set(bodies.tolist())

    def carrier(body: int) -> int:
        while body and body not in moving:
            body = int(model.body_parentid[body])
        return body

    below = {body: carrier(int(model.body_parentid[body])) for body in sorted(moving)}
    carried = list(below.values())
    chain: dict[int, int] = {}
    for body, parent in below.items():  # parents come first
        starts = parent == 0 or carried.count(parent) > 1
        chain[body] = max(chain.values(), default=-1) + 1 if starts else chain[parent]
    joints = np.array([chain[body] for body in bodies.tolist()])
    for moved, weights in zip(scene.transmission.joints, scene.transmission.weights, strict=True):
        coupled = joints[moved[weights != 0]]  # one actuator joins what it moves
        joints[np.isin(joints, coupled)] = coupled.min()
    joints = np.unique(joints, return_inverse=True)[1]
    of_body = dict(zip(bodies.tolist(), joints.tolist(), strict=True))
    return Chains(
        joints,
        joints[scene.transmission.joints[:, 0]],
        np.array([of_body.get(carrier(int(body)), -1) for body in links]),
    )
