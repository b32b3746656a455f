"""Time and bytes of what a dataset could store for an estimator with two stages.

    python -P -m opendactyl.benchmarks.studies.stored_frames

Whole frames, from which the training cuts what it needs; or only what it needs: a small view, a
window around the object and the crop of the anchors, each drawn by a camera of its own. Both are
drawn and encoded by one process, alternately, from the same settled states and appearances. The
zoomed cameras look at the middle of the frame.
"""

import dataclasses
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opendactyl.benchmarks.support.study import prepare_gl, run_study
from opendactyl.geometry.rig import Rig, load_rig

if TYPE_CHECKING:  # imports MuJoCo
    from opendactyl.benchmarks.support.rendering import Sample
    from opendactyl.render.base import Renderer


@dataclass(frozen=True, kw_only=True)
class StoredFramesConfig:
    """Settings of the comparison."""

    frame: int = 288
    """Width and height of the frames."""
    crops: tuple[int, ...] = (96, 128, 80)
    """Width and height of the views, the windows and the crops, as the training cuts them."""
    renderer: str = "classic"
    """`classic` or `filament`."""
    samples: int = 64
    """States, drawn in a cycle."""
    seconds: float = 30.0
    """Time of each."""


def compare(config: StoredFramesConfig) -> str:
    """Measures both; returns a table."""
    from opendactyl.benchmarks.measure import side_by_side
    from opendactyl.benchmarks.support.rendering import draw_samples
    from opendactyl.render.factory import make_renderer

    rig = load_rig("dactyl-200")
    samples = draw_samples(rig, config.samples)
    view, *zooms = config.crops
    cameras = [(view, rig), *((size, _zoomed(rig, config.frame / size)) for size in zooms)]
    texts = f"a frame of {config.frame} pixels", f"pictures of {config.crops}"
    written = [0, 0]

    def job(number: int, renderers: "list[Renderer]") -> Callable[[], int]:
        def draw() -> int:
            written[number] = sum(_bytes(one, sample) for sample in samples for one in renderers)
            return len(samples)

        return draw

    with ExitStack() as stack:
        frames, crops = (
            [
                stack.enter_context(make_renderer(config.renderer, rig=some, image_size=size))
                for size, some in rigs
            ]
            for rigs in ([(config.frame, rig)], cameras)
        )
        speeds = side_by_side(job(0, frames), job(1, crops), config.seconds)
    lines = ["| stored of each camera | ms a sample | kB a sample |", "|---|---|---|"]
    for text, speed, size in zip(texts, speeds, written, strict=True):
        lines.append(f"| {text} | {1000 / speed:.1f} | {size / len(samples) / 1000:.0f} |")
    return "\n".join(lines) + "\n"


def _bytes(renderer: "Renderer", sample: "Sample") -> int:
    """Draws and encodes a sample; returns its size."""
    from opendactyl.datasets.format.shards import encode_image

    return sum(len(encode_image(view, 95)) for view in renderer.render(*sample))


def _zoomed(rig: Rig, factor: float) -> Rig:
    """The rig with cameras that show the middle of its frames, `factor` times as large."""
    scale = np.diag([factor, factor, 1.0])
    cameras = []
    for camera in rig.cameras:
        K = scale @ camera.K
        K[:2, 2] = camera.K[:2, 2]
        cameras.append(dataclasses.replace(camera, K=K))
    return Rig(rig.name, tuple(cameras))


if __name__ == "__main__":
    prepare_gl(renders=True)
    run_study("stored_frames", __doc__, StoredFramesConfig, compare)
