"""`opendactyl train-policy`: trains the control policy."""

import dataclasses
import warnings
from pathlib import Path

from opendactyl.cli.options import is_given, parse, prepare_backend, value_of
from opendactyl.core.errors import InputError
from opendactyl.models.choices import DRIVERS


def main(argv: list[str]) -> None:
    """Trains a policy."""
    warnings.filterwarnings("ignore", module="tensordict|torchrl|torch")
    driver = value_of("--driver", argv) or DRIVERS[0]
    if driver not in DRIVERS:
        raise InputError(f"no driver {driver!r}; choose {' or '.join(DRIVERS)}")
    prepare_backend(argv, renders=value_of("--vision", argv) is not None)
    run = _train_recurrent(argv) if driver == DRIVERS[0] else _train_msat(argv)
    print(f"policy in {run}\nreport in {run / 'report' / 'report.html'}")


def _train_recurrent(argv: list[str]) -> Path:
    from opendactyl.policy.training.config import PolicyConfig

    _refuse_other_options(argv, "recurrent")
    config = parse(
        PolicyConfig,
        "train-policy",
        argv,
        "Trains an LSTM policy: a teacher with privileged observations, distillation, then PPO.",
    )
    from opendactyl.policy.training.train import train

    return train(config)


def _train_msat(argv: list[str]) -> Path:
    from opendactyl.policy.msat.config import MsatConfig

    _refuse_other_options(argv, "msat")
    config = parse(
        MsatConfig,
        "train-policy --driver msat",
        argv,
        "Trains a multi-stream action transformer, which imitates a recurrent policy.",
    )
    config.check()
    assert config.teacher is not None
    from opendactyl.control.evaluation.policies import load_teacher
    from opendactyl.control.evaluation.pose_observer import ObserverFactory
    from opendactyl.policy.msat.train import train

    observer = None if config.vision is None else ObserverFactory(config.vision)
    return train(config, load_teacher(config.teacher), observer)


def _refuse_other_options(argv: list[str], driver: str) -> None:
    """Checks that no option of the other kind of policy is given."""
    from opendactyl.policy.msat.config import MsatConfig
    from opendactyl.policy.training.config import PolicyConfig

    names = [{f.name for f in dataclasses.fields(kind)} for kind in (PolicyConfig, MsatConfig)]
    own, other = names if driver == DRIVERS[0] else reversed(names)
    others = [name for name in DRIVERS if name != driver]
    for name in sorted(other - own):
        option = f"--{name.replace('_', '-')}"
        if is_given(option, argv):
            raise InputError(f"{option} belongs to --driver {others[0]}; leave it out")
