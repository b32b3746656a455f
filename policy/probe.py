"""Measures what can be decoded from a policy's memory about the physics.

A policy acts under preset `dactyl`; then small networks are trained to predict from its memory
which actuators are delayed, the slack of the loosest joints, the damping, the object's size, and
whether that is above average (D18: right in 80 % of the cases after 5 s, D19: in 68 to 83 %). The
baseline is the same network on the current observation, which contains no past.

    python -P -m opendactyl.policy.probe runs/policy-spin
"""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from opendactyl.core import mujoco_gl
from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import one_line_errors, take_debug_option
from opendactyl.geometry.rotation import Array
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import decide
from opendactyl.policy.randomization.physics import Physics
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.timing import CONTROL_PERIOD

ROUNDS, HANDS = 8, 256
"""Roll-outs, and hands in each."""
SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Times at which the memory is recorded; D18 used 5 s."""
SEED = 900_000
"""Seed of the roll-outs, not used for training."""
HIDDEN, STEPS = 64, 300
"""Units (D19) and training steps of the networks."""
TEST_FRACTION, SELECTION_FRACTION = 0.25, 0.15
"""Fractions of the episodes that a network is tested on, and that select its training step."""
LEAST_EPISODES = 16
"""With fewer running episodes, nothing is trained at that time."""
LOOSE_EXPONENT = 2.0
"""Calibrated exponents of backlash below this belong to the tendons with the widest slack."""
SOURCES = ("memory", "observation")
Loss = Callable[[Tensor, Tensor], Tensor]


def probe(path: Path) -> dict[str, Any]:
    """What can be decoded at each time, from memory and from observation.

    `memory` and `observation` are accuracies for the larger half of the sizes. Below `properties`,
    `delay` is an accuracy, the mean over actuators, beside that of guessing (`majority`); the
    others are coefficients of determination R² in other episodes than those of the training.

    Args:
        path: a run of train-policy, or the .safetensors file of an LSTM policy.

    Raises:
        InputError: there is no policy.
    """
    from opendactyl.policy.loading import load_with_environment  # imports MuJoCo

    actor, environment = load_with_environment(path)
    samples = [_roll_out(actor, environment, i) for i in tqdm(range(ROUNDS), unit="round")]
    report: dict[str, Any] = {"seconds": list(SECONDS), "memory": [], "observation": [], "n": []}
    properties = {"delay": {"majority": []}, "backlash": {}, "damping": {}, "size": {}}
    for moment in range(len(SECONDS)):
        joined = {k: np.concatenate([s[k][moment] for s in samples]) for k in samples[0]}
        running = joined.pop("running")
        values = {name: value[running] for name, value in joined.items()}
        report["n"].append(int(running.sum()))
        enough = report["n"][-1] >= LEAST_EPISODES
        guessed = majority_accuracy(values["delay"]) if enough else None
        properties["delay"]["majority"].append(guessed)
        for source in SOURCES:
            features, larger = values[source], values["size"][:, 0] > 0.0
            report[source].append(classifier_accuracy(features, larger) if enough else None)
            for name, scores in properties.items():
                measure = bit_accuracy if name == "delay" else determination
                score = measure(features, values[name]) if enough else None
                scores.setdefault(source, []).append(score)
    return report | {"properties": properties}


@torch.no_grad()
def _roll_out(actor: Actor, environment: EnvConfig, number: int) -> dict[str, list[Any]]:
    """Memory (B, 2H), observation (B, n), properties, and whether episodes run, by time."""
    from opendactyl.policy.env.env import HandEnv  # imports MuJoCo

    settings = dataclasses.replace(environment, randomization="dactyl", evaluation=True)
    env = HandEnv(settings, HANDS, seed=SEED, first_episode=number * HANDS)
    policy, _ = env.reset()
    assert env.randomizer is not None
    physics = physics_properties(env.randomizer.physics, env.scene.hand)
    h, c = actor.initial_state(HANDS)
    start = torch.ones(HANDS, 1)
    record: dict[str, list[Any]] = {key: [] for key in (*SOURCES, "running", *physics)}
    moments = {round(seconds / CONTROL_PERIOD) for seconds in SECONDS}
    for action in range(1, max(moments) + 1):
        observation = torch.from_numpy(policy)
        logits, h, c = actor(observation[:, None], start, h, c)
        start = torch.zeros_like(start)
        policy = env.step(decide(logits[:, 0].numpy())).policy
        if action in moments:
            record["memory"].append(torch.cat([h, c], dim=-1).numpy())
            record["observation"].append(observation.numpy())
            record["running"].append(env.running.copy())
            for name, values in physics.items():
                record[name].append(values)
    return record


def physics_properties(physics: list[Physics], hand: HandSpec) -> dict[str, Array]:
    """Properties (N, K) of N episodes: delayed actuators, and logarithms of the others.

    Backlash is that of the loosest tendons, or of all where the hand's is not calibrated.
    """
    exponents = hand.backlash_exponents
    loose = slice(None) if exponents is None else exponents < LOOSE_EXPONENT
    rates = np.array([p.backlash[loose].ravel() for p in physics])
    return {
        "delay": np.array([p.action_delay for p in physics], dtype=np.float64),
        "backlash": -np.log(rates),  # The slack is inversely proportional to the rate.
        "damping": np.array([[np.log(p.joint_damping).mean()] for p in physics]),
        "size": np.log([[p.object_size] for p in physics]),
    }


def classifier_accuracy(features: NDArray[np.float32], larger: NDArray[np.bool_]) -> float:
    """Test accuracy of a small network trained to predict `larger` (N,) from features (N, F)."""
    return bit_accuracy(features, larger[:, None].astype(np.float64))


def bit_accuracy(features: NDArray[np.float32], bits: Array) -> float:
    """Test accuracy, averaged over K bits, of a network trained to predict bits (N, K)."""
    loss = functional.binary_cross_entropy_with_logits
    predicted, true = _tested(features, torch.from_numpy(bits).float(), loss)
    return float(((predicted > 0) == (true > 0.5)).float().mean())


def majority_accuracy(bits: Array) -> float:
    """Test accuracy, averaged over K bits (N, K), of guessing what is more frequent in training."""
    tested = int(len(bits) * TEST_FRACTION)
    return float((bits[:tested] == (bits[tested:].mean(axis=0) > 0.5)).mean())


def determination(features: NDArray[np.float32], values: Array) -> float:
    """R² on test episodes, averaged over K values, of a network trained to predict (N, K)."""
    scaled = (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)
    target = torch.from_numpy(scaled).float()
    predicted, true = _tested(features, target, functional.mse_loss)
    errors = (predicted - true).square().sum(dim=0)
    return float((1 - errors / (true - true.mean(dim=0)).square().sum(dim=0)).mean())


def _tested(features: NDArray[np.float32], target: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
    """Predictions and truth (M, K) of the test episodes, at the step that a selection prefers."""
    torch.manual_seed(0)
    x = torch.from_numpy((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6))
    sizes = [int(len(x) * TEST_FRACTION), max(int(len(x) * SELECTION_FRACTION), 1)]
    (x_test, x_select, x), (y_test, y_select, y) = (
        v.split([*sizes, len(v) - sum(sizes)]) for v in (x, target)
    )
    net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, y.shape[1]))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    best, predicted = torch.tensor(torch.inf), torch.zeros_like(y_test)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()
        with torch.no_grad():
            error = loss(net(x_select), y_select)
            if error < best:
                best, predicted = error, net(x_test)
    return predicted, y_test


def _print(report: dict[str, Any]) -> None:
    """The report as text: columns are the times."""
    _line("seconds", report["seconds"], "{:7.1f}")
    _line("episodes", report["n"], "{:7d}")
    for source in SOURCES:
        _line(f"larger size, accuracy from {source}", report[source], "{:7.1%}")
    for name, scores in report["properties"].items():
        form, measure = ("{:7.1%}", "accuracy") if name == "delay" else ("{:7.2f}", "R²")
        for source, values in scores.items():
            _line(f"{name}, {measure} from {source}", values, form)


def _line(name: str, values: list[Any], form: str) -> None:
    print(f"{name:<36}" + "".join("      –" if v is None else form.format(v) for v in values))


def main(
    run: Annotated[Path, tyro.conf.arg(metavar="[RUN]")] = Path("runs/policy-spin"), /
) -> None:
    """Prints the table and writes `probe.json` into the run folder.

    Args:
        run: a run of train-policy, or the .safetensors file of an LSTM policy, whose results are
            written to runs/probe-NAME.json.
    """
    mujoco_gl.disable()  # before anything imports MuJoCo
    report = probe(run)
    _print(report)
    out = run / "probe.json" if run.is_dir() else Path("runs") / f"probe-{run.stem}.json"
    write_json(out, report)


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, description=__doc__, args=take_debug_option(sys.argv[1:]))
