"""Calibration of the covariance on validation data after training.

A network learns its uncertainty from the errors on the training data, made by weights that change;
on other data, with averaged weights, the errors differ.
"""

import numpy as np
import torch

from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.vision.measures.metrics import CHI2_90_3, NORMAL_90, squared_distances
from opendactyl.vision.measures.predictions import Predictions, predict
from opendactyl.vision.training.checkpoints import first_stage
from opendactyl.vision.training.module import PoseModule

COVERAGE = 0.9
"""Regions of this nominal coverage contain this fraction of the validation data afterwards."""


def calibrate(module: PoseModule, data: CachedDataset, samples: int) -> None:
    """Sets `log_std_shift` so that the module's 90 % regions contain 90 % of the data.

    With two stages also that of the first stage alone.

    Args:
        module: the trained network.
        data: validation data.
        samples: largest number of samples to use.
    """
    count = min(samples, len(data))
    module.log_std_shift.zero_()
    module.log_std_shift.copy_(_shift(predict(module, data, count)))
    if module.two_stages:
        module.first_log_std_shift.zero_()
        module.first_log_std_shift.copy_(_shift(predict(first_stage(module), data, count)))


def _shift(predictions: Predictions) -> torch.Tensor:
    ratios = [
        float(np.quantile(squares, COVERAGE)) / CHI2_90_3
        for squares in squared_distances(predictions)
    ]
    if predictions.hinges is not None:
        squares = (predictions.hinges.error / predictions.hinges.std) ** 2
        ratios += (np.quantile(squares, COVERAGE, axis=0) / NORMAL_90**2).tolist()
    return 0.5 * torch.log(torch.tensor(ratios))
