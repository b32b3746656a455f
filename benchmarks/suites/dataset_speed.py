"""Samples a second of the verb `dataset`, from start to end, against the plain loop."""

import shutil
import tempfile
from pathlib import Path

from opendactyl.benchmarks.measure import Row, side_by_side
from opendactyl.benchmarks.peers.plain_dataset import PlainDataset
from opendactyl.core.cpu import cores
from opendactyl.datasets.generation.generate import DatasetConfig, generate
from opendactyl.geometry.rig import load_rig
from opendactyl.render.appearance.config import load_appearance

SAMPLES_PER_SECOND = 20
"""Samples of one dataset for each second of measuring, so that starting the processes counts as
little as in a dataset of hundreds of samples; users make thousands."""
SHARD_SIZE = 25
PEER_SAMPLES = 8
"""Samples of a portion of the plain loop."""
PEER = "one process: settle, mujoco.Renderer for pictures and two segmentations, JPEG, tar"


def dataset_speed(seconds: float) -> Row:
    """Measures the default settings: settled states, images of the default size, every core."""
    count = max(2 * SHARD_SIZE, int(SAMPLES_PER_SECOND * seconds))
    with tempfile.TemporaryDirectory(prefix="opendactyl-bench-") as name:
        folder = Path(name)
        config = DatasetConfig(out=folder / "ours", num_samples=count, shard_size=SHARD_SIZE)
        rig = load_rig(config.rig).views(config.image_size)
        plain = PlainDataset(rig, load_appearance(config.appearance), folder)

        def ours() -> float:
            generate(config)
            shutil.rmtree(config.out)
            return count

        try:
            mine, peer = side_by_side(ours, lambda: plain.portion(PEER_SAMPLES), seconds)
        finally:
            plain.close()
    return Row(
        name="dataset/samples_per_second", ours=mine, peer=peer, peer_name=PEER, unit="samples/s",
        extra={"workers": cores(), "samples": count, "image_size": config.image_size},
    )  # fmt: skip
