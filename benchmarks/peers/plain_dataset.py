"""The plain loop that makes a dataset: one process, one state at a time, a `mujoco.Renderer`."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from opendactyl.benchmarks.peers.mujoco_renderer import PlainRenderer
from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import AppearanceConfig
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene

JPEG_QUALITY = 95
"""That of `dataset`."""


class PlainDataset:
    """Makes the samples of `opendactyl dataset`: settled states, pictures, occlusion and poses."""

    def __init__(self, rig: Rig, ranges: AppearanceConfig, folder: Path) -> None:
        """Writes shards into `folder`."""
        self._rig, self._ranges, self._folder = rig, ranges, folder
        self._scene, self._object = load_scene("block"), object_spec("block")
        self._renderer = PlainRenderer(rig)
        self._made = 0

    def portion(self, count: int) -> float:
        """Writes one shard of `count` samples; returns `count`."""
        with tarfile.open(self._folder / f"plain-{self._made:08d}.tar", "w") as tar:
            for _ in range(count):
                self._add_sample(tar)
                self._made += 1
        return count

    def _add_sample(self, tar: tarfile.TarFile) -> None:
        rng = np.random.default_rng([1, self._made])
        state = settled_state(self._scene, rng)
        views = len(self._rig.cameras)
        appearance = sample_appearance(rng, self._ranges, views=views, obj=self._object)
        images = self._renderer.render(state, appearance)
        label = {
            "position": state.position.tolist(),
            "quaternion": state.quaternion.tolist(),
            "joints": state.joints.tolist(),
            "visible_fraction": self._renderer.visible_fraction().tolist(),
        }
        for name, image in zip(self._rig.names, images, strict=True):
            content = io.BytesIO()
            Image.fromarray(image).save(content, "JPEG", quality=JPEG_QUALITY)
            _add(tar, f"{self._made:08d}.{name}.jpg", content.getvalue())
        _add(tar, f"{self._made:08d}.json", json.dumps(label).encode())

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
