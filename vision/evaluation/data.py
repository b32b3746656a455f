"""The data of an evaluation: one of our datasets, or one of other software."""

from pathlib import Path

import numpy as np

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.compatibility import check_hand, has_object_files
from opendactyl.datasets.format.manifest import Manifest, load_manifest
from opendactyl.datasets.loading.cache import CachedDataset, open_dataset
from opendactyl.geometry.rig import Rig
from opendactyl.vision.estimator import PoseEstimator
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.foreign import read_foreign, smallest_side
from opendactyl.vision.evaluation.models import chosen_stages, trained_rig
from opendactyl.vision.measures.foreign import ForeignDataset
from opendactyl.vision.measures.predictions import BatchEstimator, Data, cached_size
from opendactyl.vision.training.module import PoseModule
from opendactyl.vision.training.provenance import known_seeds


def open_data(config: EvalConfig, model: BatchEstimator) -> tuple[BatchEstimator, Data]:
    """Opens the data, and checks that its object and cameras fit the model.

    Returns:
        The model, or its first stage, and the data.

    Raises:
        InputError: there is no dataset, it does not fit, or the model was trained on its seed.
        EnvironmentFailure: the disk failed.
    """
    foreign = read_foreign(config, model)
    if foreign is not None:
        model = chosen_stages(config, model, smallest_side(foreign))
        return model, ForeignDataset(foreign, cached_size(model))
    if config.rig is not None:
        raise InputError(f"--rig is for data of other software; {config.data} has its cameras")
    native = load_manifest(config.data).rig["cameras"][0]["width"]
    model = chosen_stages(config, model, native)
    return _open(config, model)


def _open(config: EvalConfig, model: BatchEstimator) -> tuple[BatchEstimator, CachedDataset]:
    manifest = load_manifest(config.data)
    _check_held_out(config.model, manifest)
    _check_object(config, model, manifest)
    check_hand(config.model, manifest, config.data)
    views, trained = model.views, trained_rig(config.model, model)
    if not model.any_cameras:
        check_cameras(config.model, trained, manifest)
    elif manifest.load_rig().names[:views] != trained.names:
        views = 0  # All of the other cameras.
    data = open_dataset(config.data, cached_size(model), views, config.cache, enlarge=True)
    if model.any_cameras and isinstance(model, PoseModule):
        model.set_cameras(data.rig)
    elif model.any_cameras:
        model = PoseEstimator(config.model / "pose.onnx", rig=data.rig.resized(model.image_size))
    return model, data


def _check_object(config: EvalConfig, model: BatchEstimator, manifest: Manifest) -> None:
    if not _same_object(config.model, model, manifest):
        raise InputError(
            f"{config.model} was trained on another object than that of {config.data}; render a "
            "dataset with the --object of its training data"
        )


def _same_object(path: Path, model: BatchEstimator, data: Manifest) -> bool:
    """Whether a dataset and an estimator have the same object; true if unknown."""
    if isinstance(model, PoseModule):
        points, others = np.array(model.hparams["points"]), np.array(data.keypoints)
        same_points = points.shape == others.shape and np.allclose(points, others, atol=1e-6)
        return bool(same_points) and has_object_files(path, data)
    manifest = read_json(path / "manifest.json")
    name = manifest.get("pose", {}).get("object") or manifest.get("policy", {}).get("object")
    files = (manifest.get("object") or {}).get("files")
    return name is None or (name, files) == (data.object, data.object_files)


def check_cameras(path: Path, trained: Rig, data: Manifest) -> None:
    """Checks that a dataset's first cameras are those that an estimator was trained with.

    Args:
        path: the estimator, for messages.
        trained: the nominal cameras it was trained with.
        data: the dataset; `open_dataset` refuses one that has fewer.

    Raises:
        InputError: the cameras differ.
    """
    rig = data.load_rig()
    trained = trained.resized(rig.cameras[0].width)
    for camera, other in zip(trained.cameras, rig.cameras, strict=False):
        same = np.allclose(camera.K, other.K) and np.allclose(
            camera.cam_from_hand, other.cam_from_hand, atol=1e-6
        )
        if not same:
            raise InputError(
                f"{path} was trained for rig {trained.name}, and camera {other.name!r} of the "
                f"dataset's rig {rig.name} differs; render the dataset with its --rig"
            )


def _check_held_out(model: Path, data: Manifest) -> None:
    seed = data.seed
    if seed in known_seeds(model).get("train", []):
        raise InputError(
            f"the model was trained on seed {seed}, which is also this dataset's; evaluate on one "
            "with another --seed"
        )
