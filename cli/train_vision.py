"""`opendactyl train-vision`: trains the pose estimator."""

import logging
import warnings
from pathlib import Path

from opendactyl.cli.options import parse


def main(argv: list[str]) -> None:
    """Trains, then measures the run on its validation data into RUN/report."""
    warnings.filterwarnings("ignore", module="lightning|torch")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    from opendactyl.vision.config import VisionConfig

    config = parse(
        VisionConfig,
        "train-vision",
        argv,
        "Trains the pose estimator on a dataset, under Lightning.",
    )
    from opendactyl.vision.evaluate import EvalConfig, evaluate
    from opendactyl.vision.train import train

    run = train(config)
    report = EvalConfig(model=run, data=config.val_data, out=run / "report", resume=True)
    metrics = evaluate(report)
    print_metrics(metrics, report.out)


def print_metrics(metrics: dict, out: Path) -> None:
    """The two errors, and where the report is."""
    rotation, position = metrics["rotation_error_deg"], metrics["position_error_mm"]
    print(
        f"n = {metrics['n']}: "
        f"rotation {rotation['mean']:.2f}° mean, {rotation['median']:.2f}° median; "
        f"position {position['mean']:.2f} mm mean, {position['median']:.2f} mm median\n"
        f"report in {out / 'report.html'}"
    )
