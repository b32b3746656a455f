"""`opendactyl eval-vision`: measures an estimator on held-out data."""

from opendactyl.cli.options import parse
from opendactyl.cli.verbs.train_vision import print_metrics


def main(argv: list[str]) -> None:
    """Writes metrics.json and report.html."""
    from opendactyl.vision.evaluation.config import EvalConfig

    config = parse(
        EvalConfig, "eval-vision", argv, "Measures an estimator: metrics.json and report.html."
    )
    from opendactyl.vision.evaluation.evaluate import evaluate

    print_metrics(evaluate(config), config.out)
