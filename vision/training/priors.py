"""The priors of a network from the statistics of its training data."""

from collections.abc import Sequence

from opendactyl.datasets.format.manifest import Manifest
from opendactyl.datasets.format.statistics import LabelStatistics
from opendactyl.models.pose.priors import FORMER, PosePriors


def priors_of(manifests: Sequence[Manifest]) -> PosePriors:
    """The priors of datasets that are used together.

    If one of them was made by a version that stored no statistics, they are the constants of that
    version.
    """
    statistics = [manifest.statistics for manifest in manifests if manifest.statistics]
    if len(statistics) < len(manifests):
        return FORMER
    found = LabelStatistics.pooled(statistics)
    return PosePriors.of(
        found.position_mean,
        found.position_std,
        list(found.depth.values()),
        manifests[0].keypoints,
    )
