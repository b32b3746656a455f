"""Can the block's size be read off a policy's memory?

From D18's LSTM it could after 5 s in 80 % of the cases, from D19's in 68 to 83 %. Here, too, a
policy acts under preset `dactyl`, and a small network then learns to tell from the memory whether
the block is larger or smaller than average. What it learns from the observation alone, which holds
no past, is the baseline.

    python -P -m opendactyl.policy.probe runs/policy-spin
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from opendactyl.core.atomic_files import write_json
from opendactyl.models.policy.actor_critic import Actor
from opendactyl.policy.env.env import HandEnv
from opendactyl.policy.env.episode_types import EnvConfig
from opendactyl.policy.export import load_actor
from opendactyl.policy.interface.actions import ActionConfig, decide
from opendactyl.sim.hands.names import CONTROL_PERIOD

ROUNDS, HANDS = 8, 256
"""Roll-outs, and hands in each."""
SECONDS = (1.0, 2.0, 3.0, 4.0, 5.0)
"""When the memory is looked at; D18 did after 5 s."""
SEED = 900_000
"""Of the roll-outs: nobody trains on it."""
HIDDEN = 64
"""Units of the network that reads the memory (D19)."""
TESTED = 0.25
"""Share of the episodes that the reading is tested on, not learned from."""


def probe(run: Path) -> dict[str, Any]:
    """How often the size is told right, by the second, from memory and from observation.

    Raises:
        InputError: the run holds no policy.
    """
    actor, config = load_actor(run)
    samples = [_roll_out(actor, config, number) for number in tqdm(range(ROUNDS), unit="round")]
    report: dict[str, Any] = {"seconds": list(SECONDS), "memory": [], "observation": [], "n": []}
    for moment in range(len(SECONDS)):
        memory, observation, size, runs = (
            np.concatenate([sample[part][moment] for sample in samples])
            for part in ("memory", "observation", "size", "running")
        )
        larger = size[runs] > 1.0
        report["memory"].append(reading_accuracy(memory[runs], larger))
        report["observation"].append(reading_accuracy(observation[runs], larger))
        report["n"].append(int(runs.sum()))
    return report


@torch.no_grad()
def _roll_out(actor: Actor, config: dict[str, Any], number: int) -> dict[str, list[Any]]:
    """Memory (B, 2H), observation (B, n), size (B,) and whether the episode runs, by moment."""
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
    seen: dict[str, list[Any]] = {"memory": [], "observation": [], "size": [], "running": []}
    moments = {round(seconds / CONTROL_PERIOD) for seconds in SECONDS}
    for action in range(1, max(moments) + 1):
        observation = torch.from_numpy(policy)
        logits, h, c = actor(observation[:, None], start, h, c)
        start = torch.zeros_like(start)
        policy = env.step(decide(logits[:, 0].numpy())).policy
        if action in moments:
            seen["memory"].append(torch.cat([h, c], dim=-1).numpy())
            seen["observation"].append(observation.numpy())
            seen["size"].append(size)
            seen["running"].append(env.running.copy())
    return seen


def reading_accuracy(
    features: NDArray[np.float32], larger: NDArray[np.bool_], steps: int = 300
) -> float:
    """How often a small network tells `larger` (N,) from features (N, F) it did not learn from."""
    torch.manual_seed(0)
    x = torch.from_numpy((features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6))
    y = torch.from_numpy(larger.astype(np.float32))
    tested = int(len(x) * TESTED)
    net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.1)
    for _ in range(steps):
        loss = functional.binary_cross_entropy_with_logits(net(x[tested:])[:, 0], y[tested:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = (net(x[:tested])[:, 0] > 0) == (y[:tested] > 0.5)
    return float(right.float().mean())


def main(run: Path) -> None:
    """Prints a table and writes `probe.json` into the run."""
    report = probe(run)
    print("seconds  memory  observation  n")
    for row in zip(
        *(report[key] for key in ("seconds", "memory", "observation", "n")), strict=True
    ):
        print("{:7.0f}  {:6.1%}  {:11.1%}  {}".format(*row))
    write_json(run / "probe.json", report)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/policy-spin"))
