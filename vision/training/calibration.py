"""Uncertainties that mean what they say: scaled on validation data once training is over.

A network's own deviations are fitted to the errors on its training data, with the weights as they
were then; on new data, and averaged, it is better or worse than it believes.
"""

import math

import numpy as np

from opendactyl.datasets.loading.cache import CachedDataset
from opendactyl.vision.measures.metrics import CHI2_90_3, squared_distances
from opendactyl.vision.measures.predictions import predict
from opendactyl.vision.training.module import PoseModule

SHARE = 0.9
"""Regions of this nominal share are made to hold this share of the validation data."""


def calibrate(module: PoseModule, data: CachedDataset, samples: int) -> None:
    """Sets a module's `log_std_shift` so that its 90 % regions hold 90 % of the data.

    Args:
        module: the trained network.
        data: validation data.
        samples: how many of them to use.
    """
    module.log_std_shift.zero_()
    predictions = predict(module, data, min(samples, len(data)))
    for part, squares in enumerate(squared_distances(predictions)):
        excess = float(np.quantile(squares, SHARE)) / CHI2_90_3
        module.log_std_shift[part] = 0.5 * math.log(excess)
