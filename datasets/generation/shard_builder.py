"""One shard's samples: states, their images and their labels."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from opendactyl.datasets.format.label import Label
from opendactyl.datasets.format.shards import Sample, shard_name, write_shard
from opendactyl.datasets.generation.config import ResolvedConfig
from opendactyl.datasets.generation.state_sources import (
    APPEARANCE_STREAM,
    StateSource,
    sample_rng,
    state_source,
)
from opendactyl.geometry.transforms import pose_matrix, transform_points
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.render.base import Renderer
from opendactyl.render.factory import make_renderer
from opendactyl.sim.objects.shipped import object_spec

MakeSource = Callable[[], StateSource]


class ShardMaker:
    """Makes any shard of a dataset; owns a graphics context and a state source."""

    def __init__(self, resolved: ResolvedConfig, make_source: MakeSource | None) -> None:
        """Opens the renderer and the source."""
        # llvmpipe's own threads only get in the way of one process per core.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        config = resolved.config
        self._resolved = resolved
        self._source = make_source() if make_source else state_source(config.states, config.object)
        self._renderer = open_renderer(resolved)

    def write(self, number: int, count: Callable[[], None]) -> str:
        """Writes shard `number`, calling `count` after each sample; returns its SHA-256."""
        config = self._resolved.config
        path = Path(config.out) / shard_name(number)
        samples = make_samples(self._resolved, self._source, self._renderer, *config.bounds(number))
        return write_shard(
            path,
            _counted(samples, count),
            jpeg_quality=config.jpeg_quality if config.image_format == "jpeg" else None,
        )

    def close(self) -> None:
        """Frees the graphics context."""
        self._renderer.close()


def open_renderer(resolved: ResolvedConfig) -> Renderer:
    """The renderer a recipe asks for."""
    config = resolved.config
    return make_renderer(
        config.renderer,
        rig=resolved.rig,
        object_name=config.object,
        image_size=config.image_size,
    )


def _counted(samples: Iterator[Sample], count: Callable[[], None]) -> Iterator[Sample]:
    for sample in samples:
        yield sample
        count()


def make_samples(
    resolved: ResolvedConfig, source: StateSource, renderer: Renderer, start: int, stop: int
) -> Iterator[Sample]:
    """Renders the samples `start` to `stop` of a dataset, which are a shard's bounds."""
    config = resolved.config
    obj = object_spec(config.object)
    draw = functools.partial(
        sample_appearance, config=resolved.ranges, views=len(resolved.rig.cameras), obj=obj
    )
    states = source.states(config.seed, start, stop)
    for index, state in zip(range(start, stop), states, strict=True):
        appearance = draw(sample_rng(config.seed, index, APPEARANCE_STREAM))
        images = renderer.render(state, appearance)
        cameras = renderer.cameras(appearance)
        pose = pose_matrix(state.position, state.quaternion)
        corners = transform_points(pose, obj.corners)
        label = Label(
            index=index,
            position=state.position,
            quaternion=state.quaternion,
            joints=state.joints,
            source=source.name,
            cameras=renderer.rig.cameras,
            true_cameras=cameras,
            corners=np.stack([camera.project(corners)[0] for camera in cameras]),
            visible_fraction=renderer.visible_fraction(),
            appearance=appearance.to_dict(),
        )
        yield Sample(images, label, renderer.segment() if config.masks else None)
