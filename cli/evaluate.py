"""`opendactyl evaluate`: counts consecutive goals of a bundle in closed loop."""

from opendactyl.cli.bundles import with_bundle
from opendactyl.cli.options import parse
from opendactyl.render.backend import choose


def main(argv: list[str]) -> None:
    """Writes results.json and report.html, and prints the table."""
    choose()
    from opendactyl.control.evaluate import EvaluateConfig, evaluate

    config = parse(
        EvaluateConfig,
        "evaluate",
        argv,
        "Counts consecutive goals: each episode runs to fifty goals, a drop, or a time-out.",
    )
    config = with_bundle(config, argv)
    results = evaluate(config)
    goals = results["consecutive_successes"]
    print(
        f"{results['task']}, pose from {config.pose}, n = {results['n']}: "
        f"{goals['mean']:.1f} ± {goals['std']:.1f} consecutive goals, "
        f"median {goals['median']:.0f}; "
        f"{results['drops']} drops, {results['timeouts']} time-outs\n"
        f"report in {config.out / 'report.html'}"
    )
