"""Measures whether the object's size can be decoded from a policy's memory.

A policy acts under preset `dactyl`; then a small network is trained to classify from the memory
whether the object is larger or smaller than average. The baseline is the same network on the
current observation, which contains no past. In D18 the size could be decoded after 5 s in 80 % of
the cases, in D19 in 68 to 83 %.

    python -P -m opendactyl.policy.probe runs/policy-spin
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from opendactyl.core import mujoco_gl
from opendactyl.core.atomic_files import write_json
from opendactyl.core.errors import one_line_errors, take_debug_option
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.interface.actions import ActionConfig, decide
from opendactyl.sim.hands.names import CONTROL_PERIOD

ROUNDS, HANDS = 8, 256
"""Roll-outs, and hands in each."""
SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Times at which the memory is recorded; D18 used 5 s."""
SEED = 900_000
"""Seed of the roll-outs, not used for training."""
HIDDEN = 64
"""Units of the classifier (D19)."""
TEST_FRACTION = 0.25
"""Fraction of the episodes that the classifier is tested on, not trained on."""


def probe(run: Path) -> dict[str, Any]:
    """Accuracy of the size classifier at each time, from memory and from observation.

    Raises:
        InputError: the run contains no policy.
    """
    from opendactyl.policy.export import load_actor  # imports MuJoCo

    actor, config = load_actor(run)
    samples = [_roll_out(actor, config, number) for number in tqdm(range(ROUNDS), unit="round")]
    report: dict[str, Any] = {"seconds": list(SECONDS), "memory": [], "observation": [], "n": []}
    for moment in range(len(SECONDS)):
        memory, observation, size, runs = (
            np.concatenate([sample[name][moment] for sample in samples])
            for name in ("memory", "observation", "size", "running")
        )
        larger = size[runs] > 1.0
        report["memory"].append(classifier_accuracy(memory[runs], larger))
        report["observation"].append(classifier_accuracy(observation[runs], larger))
        report["n"].append(int(runs.sum()))
    return report


@torch.no_grad()
def _roll_out(actor: Actor, config: dict[str, Any], number: int) -> dict[str, list[Any]]:
    """Memory (B, 2H), observation (B, n), size (B,) and whether the episode runs, by time."""
    from opendactyl.policy.env.env import HandEnv  # imports MuJoCo

    settings = EnvConfig(
        task=config["task"], object=config["object"], layout=config["layout"],
        action=ActionConfig(mode=config["action"], smoothing=config["smoothing"]),
        randomization="dactyl", evaluation=True,
    )  # fmt: skip
    env = HandEnv(settings, HANDS, seed=SEED, first_episode=number * HANDS)
    policy, _ = env.reset()
    assert env.randomizer is not None
    size = np.array([physics.object_size for physics in env.randomizer.physics])
    h, c = actor.initial_state(HANDS)
    start = torch.ones(HANDS, 1)
    record: dict[str, list[Any]] = {"memory": [], "observation": [], "size": [], "running": []}
    moments = {round(seconds / CONTROL_PERIOD) for seconds in SECONDS}
    for action in range(1, max(moments) + 1):
        observation = torch.from_numpy(policy)
        logits, h, c = actor(observation[:, None], start, h, c)
        start = torch.zeros_like(start)
        policy = env.step(decide(logits[:, 0].numpy())).policy
        if action in moments:
            record["memory"].append(torch.cat([h, c], dim=-1).numpy())
            record["observation"].append(observation.numpy())
            record["size"].append(size)
            record["running"].append(env.running.copy())
    return record


def classifier_accuracy(
    features: NDArray[np.float32], larger: NDArray[np.bool_], steps: int = 300
) -> float:
    """Test accuracy of a small network trained to predict `larger` (N,) from features (N, F)."""
    torch.manual_seed(0)
    x = torch.from_numpy((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6))
    y = torch.from_numpy(larger.astype(np.float32))
    tested = int(len(x) * TEST_FRACTION)
    net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(steps):
        loss = functional.binary_cross_entropy_with_logits(net(x[tested:])[:, 0], y[tested:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        correct = (net(x[:tested])[:, 0] > 0) == (y[:tested] > 0.5)
    return float(correct.float().mean())


def main(
    run: Annotated[Path, tyro.conf.arg(metavar="[RUN]")] = Path("runs/policy-spin"), /
) -> None:
    """Prints the table and writes `probe.json` into the run folder.

    Args:
        run: a run of train-policy.
    """
    mujoco_gl.disable()  # before anything imports MuJoCo
    report = probe(run)
    print("seconds  memory  observation  n")
    for row in zip(
        *(report[key] for key in ("seconds", "memory", "observation", "n")), strict=True
    ):
        print("{:7.0f}  {:6.1%}  {:11.1%}  {}".format(*row))
    write_json(run / "probe.json", report)


if __name__ == "__main__":
    with one_line_errors():
        tyro.cli(main, description=__doc__, args=take_debug_option(sys.argv[1:]))
