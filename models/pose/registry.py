"""Registry of the pose networks."""

from functools import partial
from typing import Any

from torch import nn

from opendactyl.models.pose.networks.dactyl import DactylNetwork
from opendactyl.models.pose.networks.keypoint import KeypointNetwork
from opendactyl.models.pose.networks.landmark import LandmarkNetwork
from opendactyl.models.pose.networks.resnet import ResnetNetwork
from opendactyl.models.pose.networks.two_stage import TwoStageNetwork

_NETWORKS = {
    "landmark": LandmarkNetwork,
    "keypoint": KeypointNetwork,
    "dactyl": DactylNetwork,
    "resnet18": partial(ResnetNetwork, 18),
    "resnet50": partial(ResnetNetwork, 50),
}


def build_pose_network(name: str, crop_size: int = 0, **options: Any) -> nn.Module:
    """Builds a network by name.

    Args:
        name: one of `models.choices.POSE_NETWORKS`.
        crop_size: size of the crops of a second stage in pixels; 0: there is none. Of landmark and
            keypoint only.
        **options: `views`, `head`, `points` (keypoints of the object (K, 3), object frame),
            `anchors` (points (M, 3) fixed in the hand frame), `priors` (`PosePriors`) and `hinges`
            (`Hinge.to_dict` of each hinge of the object).

    Raises:
        ValueError: the name is unknown.
    """
    if name not in _NETWORKS:
        raise ValueError(f"no network {name!r}; the networks are {', '.join(_NETWORKS)}")
    network = _NETWORKS[name](**options)
    return TwoStageNetwork(network, crop_size) if crop_size else network
