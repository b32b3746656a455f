"""Data of other software: BOP datasets, and pictures with poses."""

import dataclasses
import sys
from pathlib import Path

from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.foreign.bop import read_bop
from opendactyl.datasets.foreign.posed_pictures import RIG, is_posed_pictures, read_posed_pictures
from opendactyl.datasets.foreign.samples import ForeignData, estimated_object
from opendactyl.datasets.format.manifest import MANIFEST_NAME
from opendactyl.geometry.camera_faults import check_volume
from opendactyl.geometry.rig import Rig, load_rig
from opendactyl.geometry.working_volume import box_corners
from opendactyl.models.pose.priors import PosePriors
from opendactyl.vision.evaluation.config import EvalConfig
from opendactyl.vision.evaluation.models import ModelFacts, facts_of
from opendactyl.vision.measures.predictions import BatchEstimator
from opendactyl.vision.raw_frames import RawFrames

BOP = "bop:"
"""What `--data` begins with for a BOP dataset."""


def read_foreign(config: EvalConfig, model: BatchEstimator) -> ForeignData | None:
    """Reads data of other software; None if `config.data` names none.

    Raises:
        InputError: the estimator is specific to the cameras of its training, or the data is
            damaged, or of another object, or no camera sees where the object was in training.
        EnvironmentFailure: the disk failed.
    """
    is_bop = str(config.data).startswith(BOP)
    if not is_bop and (exists(config.data / MANIFEST_NAME) or not is_posed_pictures(config.data)):
        return None
    if not model.any_cameras:
        raise InputError(
            f"{config.model} works with the cameras of its training only, and {config.data} has "
            "others; evaluate a run or bundle of train-vision --model keypoint, or render a "
            "dataset with the --rig of the training"
        )
    facts = facts_of(config.model, model)
    data = _read_bop(config, facts) if is_bop else _read_pictures(config, facts)
    for note in data.notes:
        print(f"opendactyl: {config.data}: {note}", file=sys.stderr)
    views = len(data.samples[0].rig.cameras)
    if views != model.views:
        raise InputError(
            f"a sample of {config.data} has {views} views, {config.model} was trained with "
            f"{model.views}; train with --views {views}, or evaluate a model of {views} cameras"
        )
    if facts.priors is not None:
        check_volume(data.samples[0].rig, box_corners(*PosePriors.from_dict(facts.priors).box()))
    return data


def smallest_side(data: ForeignData) -> int:
    """The smallest side, in pixels, of what the cameras observe."""
    regions = [camera.region() for camera in data.samples[0].rig.cameras]
    return min(min(camera.width, camera.height) for camera in regions)


def _read_bop(config: EvalConfig, facts: ModelFacts) -> ForeignData:
    folder, split = Path(str(config.data).removeprefix(BOP)), ""
    if not exists(folder):
        name, _, split = str(folder).rpartition(":")
        folder = Path(name) if name else folder
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name a BOP dataset by bop:DIR or "
                         "bop:DIR:SPLIT")  # fmt: skip
    known = load_rig(config.rig) if config.rig else facts.raw_rig or facts.rig
    return read_bop(folder, split, estimated_object(config.model, facts.points), known)


def _read_pictures(config: EvalConfig, facts: ModelFacts) -> ForeignData:
    """The pictures, whose cameras are those of `--rig`, of a rig.toml beside them, or trained."""
    stored = config.data / RIG
    given = config.rig or (str(stored) if exists(stored) else None)
    rig = load_rig(given) if given else facts.raw_rig or facts.rig
    data = read_posed_pictures(config.data, rig, estimated_object(config.model, facts.points))
    if given or facts.raw_rig:
        return data
    # The cameras of training, of which only the views are known: pictures of any size show them.
    first = data.samples[0]
    scaled = Rig(rig.name, RawFrames(rig).cameras(first.frames()))
    samples = [dataclasses.replace(sample, rig=scaled) for sample in data.samples]
    return dataclasses.replace(data, samples=samples)
