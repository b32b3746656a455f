"""`opendactyl train-imitation`: trains the imitation network."""

import warnings
from functools import partial

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse


def main(argv: list[str]) -> None:
    """Records demonstrations by their poses, and trains on them."""
    warnings.filterwarnings("ignore", module="torch")
    from opendactyl.policy.imitation.config import ImitationConfig

    config = parse(
        ImitationConfig,
        "train-imitation",
        argv,
        "Trains a network that infers from one demonstration what is to be done.",
    )
    from opendactyl.control.bundle.load import load_bundle
    from opendactyl.control.imitation.demonstrate import recorded_track
    from opendactyl.control.imitation.demonstrator import estimator_noise, random_demonstrations
    from opendactyl.policy.imitation.programs import check_object
    from opendactyl.policy.imitation.tracks import Demonstrator
    from opendactyl.policy.imitation.training import train

    bundle = load_bundle(with_bundle(config, argv).bundle)
    check_object(bundle.object_name)
    recorded = [recorded_track(folder) for folder in config.demonstrations]
    demonstrator = Demonstrator(
        partial(random_demonstrations, bundle), estimator_noise(bundle), bundle.identity
    )
    run = train(config, demonstrator, recorded)
    print(f"imitation network in {run}")
