"""`opendactyl run`: records a video of a bundle in closed loop."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse, prepare_backend


def main(argv: list[str]) -> None:
    """Writes the video."""
    prepare_backend(argv)
    from opendactyl.control.viewer.video import RunConfig, record_video

    config = parse(
        RunConfig,
        "run",
        argv,
        "Runs a bundle in closed loop and records a video: scene, views, poses, goal.",
    )
    config = with_bundle(config, argv)
    if config.imitate is None:
        print(f"video in {record_video(config)}")
        return
    from opendactyl.control.imitation.record import ImitationRecorder

    print(f"video in {record_video(config, ImitationRecorder)}")
