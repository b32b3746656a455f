"""`opendactyl train-policy`: trains the control policy."""

import warnings

from opendactyl.cli.options import parse


def main(argv: list[str]) -> None:
    """Trains a policy."""
    warnings.filterwarnings("ignore", module="tensordict|torchrl|torch")
    from opendactyl.policy.training.config import PolicyConfig

    config = parse(
        PolicyConfig,
        "train-policy",
        argv,
        "Trains an LSTM policy: a teacher with privileged observations, distillation, then PPO.",
    )
    from opendactyl.policy.training.train import train

    run = train(config)
    print(f"policy in {run}\nreport in {run / 'report' / 'report.html'}")
