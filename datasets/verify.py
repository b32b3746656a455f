"""A dataset's health: every checksum, label and image."""

from pathlib import Path

from tqdm import tqdm

from opendactyl.datasets.manifest import load_manifest, read_samples
from opendactyl.files.errors import InputError


def verify(folder: Path) -> list[str]:
    """Reads a dataset completely; returns one line for each shard that is broken.

    Raises:
        InputError: there is no finished dataset, or its manifest is of another version.
    """
    manifest = load_manifest(folder)
    faults = []
    with tqdm(total=manifest.num_samples, unit="sample", desc=f"verifying {folder}") as bar:
        for shard in manifest.shards:
            try:
                for _ in read_samples(folder, manifest, shard):
                    bar.update()
            except InputError as error:
                faults.append(str(error))
    return faults
