"""The critic's observation: the true state and the randomization (asymmetric actor-critic, D18)."""

import numpy as np
from numpy.typing import NDArray

from opendactyl.geometry.rotation import Array
from opendactyl.policy.env.batch_sim import BatchSim
from opendactyl.policy.interface.observations import (
    HandSize,
    Measurement,
    build_observation,
    critic_fields,
    layout_fields,
    layout_size,
)
from opendactyl.policy.randomization.privileged import privileged_size
from opendactyl.policy.randomization.randomizer import Randomizer
from opendactyl.sim.hands.spec import HandSpec


def critic_size(hand: HandSpec, hinges: int = 0) -> int:
    """Length of the critic's observation, for an object with a number of hinges.

    Layout `joints`, velocities, the targets that act, the time since the last goal, and what
    `randomization.privileged` lists.
    """
    size = HandSize.of(hand, hinges)
    own = layout_size(layout_fields("joints", size), size) + hinges
    return own + len(hand.joints) + 6 + len(hand.actuators) + 1 + privileged_size(hand)


def critic_observation(
    layout: tuple[str, ...],
    ids: NDArray[np.intp],
    true: Measurement,
    goal: Array,
    targets: Array,
    late: Array,
    simulations: BatchSim,
    randomizer: Randomizer | None,
) -> NDArray[np.float32]:
    """The critic's observations (K, m), see `critic_size`.

    Args:
        layout: the fields that the policy observes.
        ids: the simulations (K,).
        true: their true measurements.
        goal: goal orientations, and angles of hinges (K, 4 + H).
        targets: the last joint targets (K, 20), scaled to [-1, 1].
        late: fraction of the time for the current goal that is over (K,).
        simulations: all simulations.
        randomizer: the source of the randomization; None gives zeros.
    """
    size = HandSize.of(simulations.scene.hand, len(simulations.scene.hinge_qpos))
    joints, linear, angular = simulations.velocities(ids)
    hidden = np.zeros((len(ids), privileged_size(simulations.scene.hand)))
    if randomizer is not None:
        hidden = randomizer.privileged(ids)
    return np.concatenate(
        [
            build_observation(critic_fields(layout, size), true, goal, targets),
            joints * 0.1,
            linear,
            angular * 0.1,
            simulations.hinge_velocities(ids) * 0.1,
            simulations.applied_targets[ids],
            late[:, None],
            hidden,
        ],
        axis=-1,
        dtype=np.float32,
    )
