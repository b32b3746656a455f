"""Fits the parameters of a hand to windows of a log.

A search gives delay, slack and offsets to begin with. Levenberg-Marquardt steps follow, of each
chain on its own: chains hardly move each other, so that one set of parameters gives a derivative
for each of them, and tries a step of each of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from opendactyl.geometry.rotation import Array
from opendactyl.policy.calibration.prediction import Predicted, Predictor
from opendactyl.policy.calibration.problem import Problem, Subproblem, robust_weight
from opendactyl.policy.calibration.search import find_start
from opendactyl.policy.calibration.windows import BLOCK, held_out, make_windows

LEAD = 1.5
"""Simulated time before the compared part of a block, in seconds."""
STAGES = ((1.5, 0.3, 60.0, 12), (BLOCK, LEAD, 1e9, 3))
"""For each stage the length of windows and of the time before them, how many seconds are fitted at
most, and the number of steps. Short windows begin in measured states and find the basin of the
minimum (D18 matches 1 s), long ones depend less on these."""
DAMPINGS = (1e-5, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Dampings of the Levenberg-Marquardt steps that are tried."""
MOVED, MOST = 3.0, 0.2
"""Finite differences move directions by so many deviations of their uncertainty, but at most by
this fraction of the prior's, so that the directions that are hard to tell are known as well."""
CONVERGED = 1e-3
"""A stage ends when a step lowers no chain's cost by more than this fraction."""


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
    total = len(predictor.scene.hand.actuators) + sum(steps for *_, steps in STAGES) + 1
    with tqdm(total=total, desc="fit", unit="step", disable=not progress) as bar:
        x = find_start(predictor, bar.update)
        for seconds, lead, at_most, steps in STAGES:
            windows = make_windows(log, predictor.commands, seconds, lead, kept)
            every = max(1, round(len(windows) * seconds / at_most))
            windows = windows.only(np.arange(len(windows)) % every == 0)
            problem = Problem(predictor, windows)
            z, moves = _minimise(problem, problem.z(x), steps, bar)
            x = problem.x(z)
        curvature, gradient = _by_block(problem, z, moves)
        bar.update(bar.total - bar.n)
    return Fit(x, curvature, gradient, problem.noise[0])


def _minimise(
    problem: Problem, z: Array, steps: int, bar: "tqdm[Any]"
) -> tuple[Array, list[Array] | None]:
    """Coordinates with lower costs, and moves for derivatives there.

    Of the dampings that a step tries each chain takes the best one, or all take the same one where
    that is better, since chains move each other a little. The noise is estimated before each step.
    """
    space = problem.space
    low, high = problem.z(space.low), problem.z(space.high)
    at, moves = problem.predict(z[None]), None
    for _ in range(steps):
        problem.estimate_noise(at)
        before = problem.costs(z[None], at)[0]
        tried = np.repeat(z[None], len(DAMPINGS), axis=0)
        subproblems = problem.subproblems(z, at, moves)
        for part in subproblems:
            tried[:, part.parameters] += _steps(part, z[part.parameters])
        moves = [_moves(part) * space.deviation[part.parameters] for part in subproblems]
        tried = np.clip(tried, low, high)
        costs = np.nan_to_num(problem.costs(tried, problem.predict(tried)), nan=np.inf)
        best, lower = costs.argmin(axis=0), costs.min(axis=0) < before
        mixed = np.where(lower[space.chain], tried[best[space.chain], np.arange(len(z))], z)
        both = np.stack([mixed, tried[costs.sum(axis=1).argmin()]])
        predicted = problem.predict(both)
        found = np.nan_to_num(problem.costs(both, predicted), nan=np.inf)
        chosen = int(found.sum(axis=1).argmin())
        bar.update()
        bar.set_postfix(cost=f"{found[chosen].sum():.0f}")
        if found[chosen].sum() < before.sum():
            z, at = both[chosen], Predicted(*(field[chosen : chosen + 1] for field in predicted))
        if np.all(found[chosen] > (1 - CONVERGED) * before):
            break
    problem.estimate_noise(at)
    return z, moves


def _moves(part: Subproblem) -> Array:
    """Moves of z (n, n), as rows, that change the residuals of a chain by about the same amount."""
    weighted = np.sqrt(robust_weight(part.residuals))[..., None] * part.jacobian
    jacobian = weighted.reshape(-1, len(part.parameters))
    values, vectors = np.linalg.eigh(jacobian.T @ jacobian + np.eye(len(part.parameters)))
    moves = np.minimum(MOVED / np.sqrt(values), MOST)[:, None] * vectors.T
    return np.asarray(moves, dtype=np.float64)


def _steps(part: Subproblem, z: Array) -> Array:
    """Steps (C, n) of one chain from z (n,) of its parameters, one for each damping."""
    weight = robust_weight(part.residuals).ravel()
    jacobian, residuals = part.jacobian.reshape(len(weight), -1), part.residuals.ravel()
    weighted = weight[:, None] * jacobian
    hessian = weighted.T @ jacobian + np.eye(len(z))
    gradient, diagonal = weighted.T @ residuals + z, np.diag(np.diag(hessian))
    steps = [-np.linalg.solve(hessian + d * diagonal, gradient) for d in DAMPINGS]
    return np.array(steps, dtype=np.float64)


def _by_block(problem: Problem, z: Array, moves: list[Array] | None) -> tuple[Array, Array]:
    """Curvature (B, n, n) and gradient (B, n) of each block's log-likelihood, by x."""
    found, block = np.unique(problem.windows.block, return_inverse=True)
    curvature = np.zeros((len(found), len(z), len(z)))
    gradient = np.zeros((len(found), len(z)))
    scale = problem.space.deviation
    for part in problem.subproblems(z, problem.predict(z[None]), moves):
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
        x: coordinates of the parameters; None: the model as it is, with the slack of the hand's
            file, if any, and without delay.
        seconds: the horizon.

    Returns:
        Root mean squares over all times up to the horizon.
    """
    log, space = predictor.log, predictor.space
    windows = make_windows(log, predictor.commands, seconds, 0.0, held_out(log))
    values = space.nominal_values() if x is None else space.values(x[None])
    predicted = predictor.predict(values, windows)
    return np.sqrt(np.mean((log.joints[windows.rows] - predicted.joints[0]) ** 2, axis=0))
