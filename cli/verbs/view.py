"""`opendactyl view`: shows the closed loop live in a browser."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse, prepare_backend


def main(argv: list[str]) -> None:
    """Serves the viewer until interrupted."""
    prepare_backend(argv)
    from opendactyl.control.viewer.app import ViewConfig, view

    config = parse(
        ViewConfig,
        "view",
        argv,
        "Runs a bundle in closed loop and shows it in a browser, with controls to disturb it.",
    )
    try:
        for address in view(with_bundle(config, argv)):
            print(f"open {address} in a browser; Ctrl-C ends it", flush=True)
    except KeyboardInterrupt:
        print()
