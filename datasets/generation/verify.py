"""Verification of every checksum, label and image of a dataset."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from opendactyl.core.atomic_files import json_hash
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import Forecast
from opendactyl.datasets.format.depth import check_depth
from opendactyl.datasets.format.label import unseeing_cameras
from opendactyl.datasets.format.manifest import (
    MANIFEST_NAME,
    Manifest,
    load_manifest,
    read_samples,
)
from opendactyl.datasets.format.schema import INVALID_DATA
from opendactyl.datasets.format.shards import Sample
from opendactyl.render.appearance.config import Appearance


def verify(folder: Path) -> list[str]:
    """Reads a dataset completely; returns one line for each faulty shard or useless camera.

    Raises:
        InputError: there is no finished dataset, or its manifest has another version.
        EnvironmentFailure: the disk failed.
    """
    manifest = load_manifest(folder)
    faults: list[str] = []
    visible = np.zeros(len(manifest.rig["cameras"]))
    if json_hash(manifest.config) != manifest.config_hash:
        faults.append(f"{folder / MANIFEST_NAME}: the settings do not match config_hash")
    forecast = Forecast(folder, manifest.num_samples, written=0)
    with tqdm(total=manifest.num_samples, unit="sample", desc=f"verifying {folder}") as bar:
        for shard in manifest.shards:
            try:
                for sample in read_samples(folder, manifest, shard):
                    _check(manifest, sample, f"{folder / shard.name}")
                    visible = np.maximum(visible, sample.label.visible_fraction)
                    bar.update()
                    forecast.update(bar.n)
            except InputError as error:
                faults.append(str(error))
    names = [camera["name"] for camera in manifest.rig["cameras"]]
    # A faulty shard's labels are unknown.
    return faults or [f"{folder}: {line}" for line in unseeing_cameras(names, visible)]


def _check(manifest: Manifest, sample: Sample, where: str) -> None:
    label = sample.label
    keypoints = manifest.articulation.at(label.hinges)
    try:
        label.check(keypoints[: manifest.num_corners])
        Appearance.from_dict(label.appearance)
        if sample.depth is not None:
            check_depth(sample.depth, label, keypoints)
    except INVALID_DATA as error:
        raise InputError(f"{where}: invalid label of sample {label.index}: {error}") from error
