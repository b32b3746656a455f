"""`opendactyl demonstrate`: records a demonstration of a program in simulation."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse, prepare_backend


def main(argv: list[str]) -> None:
    """Writes a recording with its poses."""
    prepare_backend(argv)
    from opendactyl.control.imitation.demonstrate import DemonstrateConfig, demonstrate

    config = parse(
        DemonstrateConfig,
        "demonstrate",
        argv,
        "Records the shipped policy carrying out a program, as `estimate` reads recordings.",
    )
    print(f"demonstration in {demonstrate(with_bundle(config, argv))}")
