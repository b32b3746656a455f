"""The estimator that is evaluated: a run or a bundle, its stages, its cameras and its object."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opendactyl.core.atomic_files import read_json, sha256
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.geometry.rig import Rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.measures.predictions import BatchEstimator
from opendactyl.vision.training.checkpoints import first_stage, load_module
from opendactyl.vision.training.module import PoseModule


def open_model(path: Path) -> BatchEstimator:
    """Opens the estimator of a run folder or a bundle.

    Raises:
        InputError: there is none, or it is damaged.
    """
    network = path / "pose.onnx"
    if exists(network):
        try:
            expected = read_json(path / "manifest.json")["sha256"][network.name]
        except (TypeError, KeyError) as error:
            raise InputError(
                f"{path / 'manifest.json'} is not the manifest of a bundle; export it again"
            ) from error
        if expected != sha256(network):
            raise InputError(f"the checksum of {network} is wrong: the file was changed or damaged")
        return PoseEstimator(network, rig=_bundled_rig(path))
    if exists(path / "checkpoints"):
        return load_module(path)
    raise InputError(
        f"{path} is neither a run of train-vision nor a bundle; "
        "train one first with `make train-vision`"
    )


def chosen_stages(config: EvalConfig, model: BatchEstimator, native: int) -> BatchEstimator:
    """The model, or its first stage if that is asked for or the images suffice for no more.

    Of bundles, whose stages cannot be separated, always the whole. Images that are smaller than
    those of what remains are enlarged, with a note.

    Args:
        config: the settings.
        model: the estimator.
        native: width of the data's images in pixels.

    Raises:
        InputError: the first stage of a bundle is asked for.
    """
    if config.coarse and not isinstance(model, PoseModule):
        raise InputError(
            f"{config.model} is a bundle, whose stages cannot be separated; name the run, or "
            "a bundle made by export --coarse"
        )
    if isinstance(model, PoseModule) and (
        config.coarse or (model.two_stages and native < model.image_size)
    ):
        model = first_stage(model)
        reason = "" if config.coarse else f": those of {config.data} have {native}"
        print(
            f"measuring the first stage alone, on images of {model.image_size} pixels{reason}",
            file=sys.stderr,
        )
    if native < model.image_size:
        print(
            f"enlarging the images of {config.data} from {native} to {model.image_size} "
            "pixels: errors are larger than on frames that have them",
            file=sys.stderr,
        )
    return model


@dataclass(frozen=True)
class ModelFacts:
    """What an estimator was trained with."""

    rig: Rig
    """The cameras, at the size of its views."""
    raw_rig: Rig | None
    """The cameras of raw frames, if the views show regions of interest of them."""
    points: list[list[float]]
    """The object's keypoints (K, 3)."""
    priors: dict[str, Any] | None
    """`PosePriors.to_dict`; None in bundles of earlier versions."""


def facts_of(path: Path, model: BatchEstimator) -> ModelFacts:
    """What the estimator of a run or bundle was trained with.

    Raises:
        InputError: the bundle's manifest does not state it.
    """
    if isinstance(model, PoseModule):
        raw, points, priors = (model.hparams[name] for name in ("raw_rig", "points", "priors"))
    else:
        manifest = read_json(path / "manifest.json")
        pose, raw = manifest.get("pose", {}), manifest.get("raw_rig")
        points, priors = pose.get("keypoints"), pose.get("priors")
        if points is None:
            raise InputError(f"the bundle {path} does not state its object; export it again")
    return ModelFacts(trained_rig(path, model), raw and Rig.from_dict(raw), points, priors)


def trained_rig(path: Path, model: BatchEstimator) -> Rig:
    """The cameras that an estimator was trained with, at the size of its views."""
    if isinstance(model, PoseModule):
        return Rig.from_dict(model.hparams["rig"])
    return _bundled_rig(path)


def _bundled_rig(path: Path) -> Rig:
    manifest = path / "manifest.json"
    content = read_json(manifest)
    try:
        return Rig.from_dict(content["rig"])
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{manifest} has no valid rig ({error}); export it again") from error
