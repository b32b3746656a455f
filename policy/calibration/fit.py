"""Fits the parameters of a hand to windows of a log.

Levenberg-Marquardt steps, of each chain on its own: chains hardly move each other, so that one set
of parameters gives a derivative for each of them, and tries a step of each of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.parameters import KINDS, without_slack
from opendactyl.policy.calibration.prediction import Predicted, Predictor
from opendactyl.policy.calibration.problem import FIRST_NOISE, Problem, Subproblem, robust_weight
from opendactyl.policy.calibration.windows import BLOCK, held_out, make_windows

LEAD = 1.5
"""Simulated time before the compared part of a block, in seconds."""
STAGES = ((1.5, 0.3, 60.0, 10), (BLOCK, LEAD, 1e9, 4))
"""For each stage the length of windows and of the time before them, how many seconds are fitted at
most, and the number of steps. Short windows begin in measured states and find the basin of the
minimum (D18 matches 1 s), long ones depend less on these."""
SEARCHED = {"gain": 0.3, "damping": 0.6, "delay": 0.04, "slack_down": 1.2, "slack_up": 1.2}
"""Kinds that are searched to begin with, and the deviations of the first samples."""
ROUNDS, SETS, ELITE = 10, 32, 6
"""Rounds of the search, samples in each, and the best ones, which the next are drawn around."""
DAMPINGS = (1e-4, 1e-2, 0.1, 1.0)
"""Dampings of the Levenberg-Marquardt steps that are tried."""
SAMPLES = 10
"""Points around these steps that are tried."""
WIDTH = 0.1
"""How much higher the cost of such a point is expected to be, as a fraction of the cost."""
CONVERGED = 2e-3
"""Points come closer when a step lowers no chain's cost by more than this fraction."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of a fit, before it is accepted."""

    x: Array
    """Coordinates of the parameters (n,)."""
    curvature: Array
    """Negative second derivatives of the log-likelihood of each block (B, n, n)."""
    gradient: Array
    """Derivatives of the log-likelihood of each block (B, n)."""
    noise: Array
    """Deviations of the residuals of angles (J,), in radians."""


def fit(predictor: Predictor, *, progress: bool = True) -> Fit:
    """Fits all parameters to the windows that are not held out.

    Raises:
        InputError: the log has too little motion without gaps.
    """
    log, kept = predictor.log, ~held_out(predictor.log)
    noise = (
        np.full(log.joints.shape[1], FIRST_NOISE[0]),
        np.full(log.targets.shape[1], FIRST_NOISE[1]),
    )
    z = np.zeros(0)
    total = ROUNDS + sum(steps for *_, steps in STAGES) + 1
    with tqdm(total=total, desc="fit", unit="step", disable=not progress) as bar:
        for seconds, lead, at_most, steps in STAGES:
            windows = make_windows(log, predictor.commands, seconds, lead, kept)
            every = max(1, round(len(windows) * seconds / at_most))
            windows = windows.only(np.arange(len(windows)) % every == 0)
            problem = Problem(predictor, windows, noise)
            z = z if len(z) else _search(problem, bar)
            z, at = _minimise(problem, z, steps, bar)
            noise = problem.estimated_noise(at)
        problem = Problem(predictor, windows, noise)
        curvature, gradient = _by_block(problem, z)
        bar.update(bar.total - bar.n)
    return Fit(problem.x(z), curvature, gradient, noise[0])


def _search(problem: Problem, bar: "tqdm[Any]") -> Array:
    """Coordinates to begin with, by the cross-entropy method for each actuator on its own.

    Delay and slack have local minima, in which steps along derivatives would end.
    """
    space, rng = problem.space, np.random.default_rng(0)
    kinds = np.array([kind for kind, _ in space.labels])
    chosen = np.flatnonzero(np.isin(kinds, list(SEARCHED)))
    owner = _owners(problem)[chosen]
    mean, spread = space.mean.copy(), np.zeros(len(space))
    spread[chosen] = [SEARCHED[kind] for kind in kinds[chosen]]
    for _ in range(ROUNDS):
        sets = mean + spread * rng.standard_normal((SETS, len(space)))
        sets = np.clip(sets, space.low, space.high)
        sets[0] = mean
        losses = _losses(problem, sets)
        elite = sets[np.argsort(losses, axis=0)[:ELITE][:, owner], chosen]
        mean[chosen], spread[chosen] = elite.mean(axis=0), 1.2 * elite.std(axis=0)
        bar.update()
    return (mean - space.mean) / space.deviation


def _losses(problem: Problem, sets: Array) -> Array:
    """Losses (P, A + J) of the joints that each actuator moves, and of each joint."""
    transmission = problem.predictor.scene.transmission
    losses = problem.losses(problem.predictor.predict(problem.space.values(sets), problem.windows))
    moved = losses[:, transmission.joints] * (transmission.weights != 0)
    return np.hstack([moved.sum(axis=-1), losses])


def _owners(problem: Problem) -> NDArray[np.intp]:
    """Which of `_losses` tells each coordinate (n,): its actuator's, or its joint's."""
    scene, space = problem.predictor.scene, problem.space
    actuators = len(scene.hand.actuators)
    of_joint = actuators + np.arange(len(scene.hand.joints))
    for actuator, weights in enumerate(scene.transmission.weights):
        of_joint[scene.transmission.joints[actuator][weights != 0]] = actuator
    owners = np.zeros(len(space), dtype=np.intp)
    for kind, part in space.slices.items():
        if KINDS[kind].what == "actuator":
            owners[part] = np.arange(actuators)
        elif KINDS[kind].what == "joint":
            owners[part] = of_joint
    return owners


def _minimise(problem: Problem, z: Array, steps: int, bar: "tqdm[Any]") -> tuple[Array, Predicted]:
    """Coordinates with lower costs, and their prediction.

    Each step tries several dampings and points around them, since slack makes costs uneven.
    """
    space, rng = problem.space, np.random.default_rng(1)
    low, high = ((bound - space.mean) / space.deviation for bound in (space.low, space.high))
    z, width = z[None], WIDTH
    at = problem.predict(z)
    costs = problem.costs(z, at)[0]
    for _ in range(steps):
        tried = np.repeat(z, len(DAMPINGS) + SAMPLES, axis=0)
        for part, cost in zip(problem.subproblems(z[0], at), costs, strict=True):
            own = part.parameters
            tried[:, own] += _moves(part, z[0, own], width * cost, rng)
        tried = np.clip(tried, low, high)
        found = problem.costs(tried, problem.predict(tried))
        best, before = found.argmin(axis=0), costs
        lower = found.min(axis=0) < costs
        z = np.where(lower[space.chain], tried[best[space.chain], np.arange(len(low))], z[0])[None]
        at = problem.predict(z)
        costs = problem.costs(z, at)[0]
        bar.update()
        bar.set_postfix(cost=f"{costs.sum():.0f}")
        if np.all(before - costs < CONVERGED * before):
            width /= 4
            if width < WIDTH / 16:
                break
    return z[0], at


def _moves(part: Subproblem, z: Array, rise: float, rng: np.random.Generator) -> Array:
    """Moves (C, n) of one chain at z (n,) of its parameters: steps, and points around them.

    By the curvature, the cost of a point is higher than that of the best step by about `rise`.
    """
    weight = robust_weight(part.residuals).ravel()
    jacobian, residuals = part.jacobian.reshape(len(weight), -1), part.residuals.ravel()
    weighted = weight[:, None] * jacobian
    hessian = weighted.T @ jacobian + np.eye(len(z))
    gradient, diagonal = weighted.T @ residuals + z, np.diag(np.diag(hessian))
    steps = np.array([-np.linalg.solve(hessian + d * diagonal, gradient) for d in DAMPINGS])
    points = rng.standard_normal((SAMPLES, len(z))) * np.sqrt(2 * rise / len(z))
    around = np.linalg.solve(np.linalg.cholesky(hessian).T, points.T).T
    moves = np.concatenate([steps, around + steps[np.arange(SAMPLES) % len(DAMPINGS)]])
    return np.asarray(moves, dtype=np.float64)


def _by_block(problem: Problem, z: Array) -> tuple[Array, Array]:
    """Curvature (B, n, n) and gradient (B, n) of each block's log-likelihood, by x."""
    found, block = np.unique(problem.windows.block, return_inverse=True)
    curvature = np.zeros((len(found), len(z), len(z)))
    gradient = np.zeros((len(found), len(z)))
    scale = problem.space.deviation
    for part in problem.subproblems(z, problem.predict(z[None])):
        weight = robust_weight(part.residuals)
        derivative = part.jacobian / scale[part.parameters]
        own = np.ix_(part.parameters, part.parameters)
        for number in range(len(found)):
            rows = block == number
            j, w = derivative[rows].reshape(-1, len(part.parameters)), weight[rows].ravel()
            curvature[number][own] += (w[:, None] * j).T @ j
            gradient[number][part.parameters] -= (w * part.residuals[rows].ravel()) @ j
    return curvature, gradient


def horizon_errors(predictor: Predictor, x: Array | None, seconds: float = 1.0) -> Array:
    """Errors (J,) of predictions from measured states in held-out blocks, in radians.

    Args:
        predictor: the log and the hand.
        x: coordinates of the parameters; None: the model as it is, without delay and slack.
        seconds: the horizon.

    Returns:
        Root mean squares over all times up to the horizon.
    """
    log, space = predictor.log, predictor.space
    windows = make_windows(log, predictor.commands, seconds, 0.0, held_out(log))
    values = space.values((space.nominal() if x is None else x)[None])
    predicted = predictor.predict(without_slack(values) if x is None else values, windows)
    return np.sqrt(np.mean((log.joints[windows.rows] - predicted.joints[0]) ** 2, axis=0))
