"""Generation of one shard: states, images and labels."""

import functools
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.datasets.format.depth import DEPTH_SCALE, depth_image
from opendactyl.datasets.format.label import Label
from opendactyl.datasets.format.shards import Sample, shard_name, write_shard
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig, uses_opengl
from opendactyl.datasets.generation.progress import FinishedShard
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
from opendactyl.render.opengl.context import gl_driver

MakeSource = Callable[[], StateSource]
"""Builds the state source in a worker; picklable."""


class ShardMaker:
    """Generates any shard of a dataset; owns a graphics context and a state source."""

    graphics: dict[str, str]
    """The OpenGL driver, see `gl_driver`; empty if the dataset does not use OpenGL."""

    def __init__(self, resolved: ResolvedConfig, make_source: MakeSource | None) -> None:
        """Opens the state source and the renderer.

        Raises:
            InputError: the source is not the one that `resolved` was made with.
        """
        # One process per core: llvmpipe's own threads would compete with the other processes.
        os.environ.setdefault("LP_NUM_THREADS", "0")
        self._resolved = resolved
        self._source = open_source(resolved.config, make_source)
        if self._source.fingerprint != resolved.fingerprint:
            raise InputError(
                f"{resolved.config.states} on {platform.node()} has the checksum "
                f"{self._source.fingerprint!r}, the dataset is generated with "
                f"{resolved.fingerprint!r}; restore the bundle, with the same files on every node"
            )
        _ = resolved.obj, resolved.hand  # checks their files
        self._renderer = open_renderer(resolved)
        opengl = uses_opengl(resolved.config.renderer, resolved.config.states)
        self.graphics = gl_driver() if opengl else {}

    def write(self, number: int, count: Callable[[], None]) -> FinishedShard:
        """Writes shard `number`, calling `count` after each sample."""
        config = self._resolved.config
        path = Path(config.out) / shard_name(number)
        samples = make_samples(self._resolved, self._source, self._renderer, *config.bounds(number))
        checksum = write_shard(
            path,
            _counted(samples, count),
            jpeg_quality=config.jpeg_quality if config.image_format == "jpeg" else None,
        )
        return FinishedShard(number, checksum, self.graphics)

    def close(self) -> None:
        """Frees the graphics context."""
        self._renderer.close()


def open_source(config: DatasetConfig, make_source: MakeSource | None) -> StateSource:
    """The state source of a dataset: that of `make_source`, or the one that `--states` names."""
    if make_source:
        return make_source()
    return state_source(config.states, config.object, config.surroundings)


def open_renderer(resolved: ResolvedConfig) -> Renderer:
    """The renderer that a dataset's settings name."""
    config = resolved.config
    return make_renderer(
        config.renderer,
        rig=resolved.rig,
        object_name=config.object,
        hand=config.surroundings,
        image_size=config.image_size,
    )


def _counted(samples: Iterator[Sample], count: Callable[[], None]) -> Iterator[Sample]:
    for sample in samples:
        yield sample
        count()


def make_samples(
    resolved: ResolvedConfig, source: StateSource, renderer: Renderer, start: int, stop: int
) -> Iterator[Sample]:
    """Renders the samples `start` to `stop` of a dataset, the bounds of a shard."""
    config = resolved.config
    obj = resolved.obj
    sample = functools.partial(
        sample_appearance,
        config=resolved.ranges,
        views=len(resolved.rig.cameras),
        obj=obj,
        surroundings=resolved.hand,
    )
    states = source.states(config.seed, start, stop)
    for index, state in zip(range(start, stop), states, strict=True):
        appearance = sample(sample_rng(config.seed, index, APPEARANCE_STREAM))
        images = renderer.render(state, appearance)
        cameras = renderer.cameras(appearance)
        pose = pose_matrix(state.position, state.quaternion)
        corners = transform_points(pose, obj.articulation.at(state.hinges)[: obj.num_corners])
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
            hinges=state.hinges,
            depth_scale=DEPTH_SCALE if config.depth else None,
        )
        masks = renderer.segment() if config.masks else None
        yield Sample(images, label, masks, depth_image(renderer.depth()) if config.depth else None)
