"""`opendactyl train-vision`: trains the pose estimator."""

import logging
import warnings
from pathlib import Path

from opendactyl.cli.options import parse, prepare_backend, value_of
from opendactyl.core.errors import InputError


def main(argv: list[str]) -> None:
    """Trains, then measures the run on its validation data into RUN/report."""
    warnings.filterwarnings("ignore", module="lightning|torch")
    from opendactyl.vision.training.config import PRESETS, VisionConfig

    preset = value_of("--preset", argv) or VisionConfig.preset
    if preset not in PRESETS:
        raise InputError(f"--preset is {preset!r}; choose from {', '.join(PRESETS)}")
    config = parse(
        VisionConfig,
        "train-vision",
        argv,
        "Trains the pose estimator on a dataset, under Lightning.",
        default=PRESETS[preset],
    )
    prepare_backend(argv, renders=config.mine is not None)
    from opendactyl.vision.evaluation.config import EvalConfig
    from opendactyl.vision.evaluation.evaluate import evaluate
    from opendactyl.vision.training.train import is_rank_zero, train

    # Importing Lightning sets the level, so this comes after.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    find_source = None
    if config.mine is not None:
        from opendactyl.control.evaluation.policy_states import rollout_source as find_source
    run = train(config, find_source)
    if not is_rank_zero():
        return
    report = EvalConfig(
        model=run, data=config.val_data, out=run / "report", resume=True, cache=config.cache
    )
    metrics = evaluate(report)
    print_metrics(metrics, report.out)


def print_metrics(metrics: dict, out: Path) -> None:
    """Prints the errors of rotation, position and hinges, and the report's path."""
    rotation, position = metrics["rotation_error_deg"], metrics["position_error_mm"]
    errors = metrics.get("hinge_error_deg", {})
    hinges = "".join(f"; {name} {error['mean']:.2f}° mean" for name, error in errors.items())
    print(
        f"n = {metrics['n']}: "
        f"rotation {rotation['mean']:.2f}° mean, {rotation['median']:.2f}° median; "
        f"position {position['mean']:.2f} mm mean, {position['median']:.2f} mm median{hinges}\n"
        f"report in {out / 'report.html'}"
    )
