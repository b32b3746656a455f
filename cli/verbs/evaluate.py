"""`opendactyl evaluate`: counts consecutive goals of a bundle in closed loop."""

from pathlib import Path
from typing import TYPE_CHECKING

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse, prepare_backend, value_of

if TYPE_CHECKING:
    from opendactyl.control.evaluation.evaluate import EvaluateConfig


def main(argv: list[str]) -> None:
    """Writes results.json and report.html, and prints a summary."""
    prepare_backend(argv, renders=_renders(argv))
    from opendactyl.control.evaluation.evaluate import EvaluateConfig, evaluate
    from opendactyl.control.viewer.video import record_median_video

    config = parse(
        EvaluateConfig,
        "evaluate",
        argv,
        "Counts consecutive goals: each episode runs to fifty goals, a drop, or a time-out.",
    )
    config = with_bundle(config, argv)
    if config.imitate is not None:
        _imitate(config, config.imitate)
        return
    results = evaluate(config)
    if config.video_seconds:
        record_median_video(config, results["consecutive_successes"]["values"])
    goals = results["consecutive_successes"]
    low, high = results["mean_interval_95"]
    print(
        f"{results['task']}, pose from {config.pose}, n = {results['n']}: "
        f"{goals['mean']:.1f} ± {goals['std']:.1f} consecutive goals, "
        f"median {goals['median']:g}, mean from {low:.1f} to {high:.1f} (95 %); "
        f"{results['drops']} drops, {results['timeouts']} time-outs\n"
        f"report in {config.out / 'report.html'}"
    )
    against = results.get("against")
    if against and against["ratio"] is not None:
        print(
            f"ratio {against['ratio']:.2f} to the pose from {against['pose']}, in "
            f"{against['n']} paired episodes"
        )


def _imitate(config: "EvaluateConfig", demonstration: Path) -> None:
    from opendactyl.control.imitation.evaluate import evaluate_imitation

    results = evaluate_imitation(config, demonstration)
    print(f"n = {results['n']}, ended by the network: {results['ended']:.2f}")
    if "success" in results:
        low, high = results["success_interval_95"]
        print(
            f"{results['program']}: carried out in {results['success']:.2f} of the episodes, "
            f"{low:.2f} to {high:.2f} (95 %)"
        )


def _renders(argv: list[str]) -> bool:
    """Whether OpenGL is needed; found out before the parsing, whose dataclass imports MuJoCo."""
    seconds = value_of("--video-seconds", argv) or value_of("--film-seconds", argv)
    video = value_of("--imitate", argv) is None and seconds not in ("0", "0.0")
    return video or value_of("--pose", argv) not in (None, "sim")
