"""`opendactyl run`: films a bundle at work."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import choose_backend, parse


def main(argv: list[str]) -> None:
    """Writes an MP4."""
    choose_backend(argv)
    from opendactyl.control.viewer.video import RunConfig, record_video

    config = parse(
        RunConfig,
        "run",
        argv,
        "Runs a bundle in closed loop and films it: scene, views, poses, goal.",
    )
    print(f"film in {record_video(with_bundle(config, argv))}")
