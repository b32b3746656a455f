"""Settings of a training that takes seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opendactyl.vision.training.config import VisionConfig


@pytest.fixture
def tiny(dataset: Path, val_dataset: Path) -> Callable[..., VisionConfig]:
    """Returns settings of a run in a folder; options replace the defaults."""

    def settings(out: Path, **options: Any) -> VisionConfig:
        defaults = {"data": (dataset,), "val_data": val_dataset, "image_size": 64, "batch_size": 4,
                 "max_epochs": 1, "max_minutes": 5, "workers": 0, "accelerator": "cpu",
                 "from_scratch": not {"warm_start", "backbone"} & set(options)}  # fmt: skip
        return VisionConfig(out=out, **(defaults | options))

    return settings
