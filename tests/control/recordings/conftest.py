"""A recording of random pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from opendactyl.geometry.rig import load_rig


@pytest.fixture(scope="session")
def frames() -> Callable[..., np.ndarray]:
    """Returns the four frames of a camera, by its number."""

    def draw(seed: int, size: int = 48) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (4, size, size, 3), dtype=np.uint8)

    return draw


@pytest.fixture
def folders(tmp_path: Path, frames: Callable[..., np.ndarray]) -> Path:
    """A folder with a folder of pictures for each camera of the rig `dactyl`."""
    for number, camera in enumerate(load_rig("dactyl-200").names):
        (tmp_path / camera).mkdir()
        for k, frame in enumerate(frames(number)):
            Image.fromarray(frame).save(tmp_path / camera / f"{k:06d}.png")
    return tmp_path
