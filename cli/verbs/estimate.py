"""`opendactyl estimate`: poses from pictures, videos or live cameras."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse


def main(argv: list[str]) -> None:
    """Writes poses, overlay and plot; works with the base install."""
    from opendactyl.control.estimation.estimate import EstimateConfig, estimate

    config = parse(
        EstimateConfig,
        "estimate",
        argv,
        "Estimates the object's pose from frames of real cameras: poses.csv, poses.json, overlay.",
    )
    estimate(with_bundle(config, argv))
