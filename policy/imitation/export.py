"""Export of an imitation network to ONNX."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import CONFIG_NAME
from opendactyl.models.imitation.network import ExportedImitator, ImitationNetwork
from opendactyl.models.onnx_file import save_onnx
from opendactyl.policy.imitation.checkpoint import load_checkpoint, make_network, module_of
from opendactyl.policy.interface.keyframes import (
    KEYFRAME_SIZE,
    MAX_KEYFRAMES,
    MAX_WAYPOINTS,
    WAYPOINT_SIZE,
)

OPSET = 20


def export_imitation(run: Path, path: Path) -> dict[str, Any]:
    """Writes `imitation.onnx`; returns the settings of its training.

    Raises:
        InputError: the run holds no imitation network.
    """
    settings = read_json(run / CONFIG_NAME)
    network = ExportedImitator(load_network(run)).eval()
    batch = torch.export.Dim("batch", min=1)
    examples = (
        torch.zeros(2, MAX_KEYFRAMES, KEYFRAME_SIZE),
        torch.eye(3).repeat(2, 1, 1),
        torch.ones(2, MAX_WAYPOINTS, WAYPOINT_SIZE),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=["demonstration", "present", "waypoints"],
            output_names=["goal", "done"],
            dynamic_shapes=({0: batch}, {0: batch}, {0: batch}),
            optimize=False,
            verbose=False,
        )
    save_onnx(program, path)
    return settings


def load_network(run: Path) -> ImitationNetwork:
    """The averaged network of a run, for export.

    Raises:
        InputError: the run holds none, or one that was not trained.
    """
    network = AveragedModel(make_network())
    checkpoint = load_checkpoint(run)
    if not checkpoint["step"]:
        raise InputError(
            f"{run} has recorded tracks and not trained yet; continue with `opendactyl "
            "train-imitation --resume`"
        )
    network.load_state_dict(checkpoint["averaged"])
    return module_of(network).eval()
