"""The manifest of a dataset whose shards are finished."""

import os

from opendactyl.core.atomic_files import json_hash
from opendactyl.datasets.format.manifest import Manifest, Shard
from opendactyl.datasets.format.schema import schema_of
from opendactyl.datasets.format.shards import read_labels, shard_name
from opendactyl.datasets.format.statistics import LabelStatistics
from opendactyl.datasets.generation.config import GENERATION_VERSION, ResolvedConfig
from opendactyl.datasets.generation.progress import Progress
from opendactyl.render.meshes.landmarks import landmarks
from opendactyl.sim.hands.spec import NO_HAND


def finished_manifest(resolved: ResolvedConfig, progress: Progress) -> Manifest:
    """Describes a dataset; reads its labels for their statistics."""
    from opendactyl.render.base import REPEATS

    config, content = resolved.config, resolved.content()
    obj, hand = resolved.obj, resolved.hand
    described = {"name": hand.name, "files": hand.checksums.identity["files"]}
    is_scene = hand.kind == "scene"
    gl = "chosen by each node" if config.ray else os.environ.get("MUJOCO_GL", "")
    names = [shard_name(number) for number in range(config.shard_count)]
    positions = [label.position for n in names for label in read_labels(config.out / n)]
    return Manifest(
        seed=config.seed,
        num_samples=config.num_samples,
        object=obj.name,
        keypoints=obj.keypoints.tolist(),
        num_corners=obj.num_corners,
        rig=content["rig"],
        config=content,
        config_hash=json_hash(content),
        made_with={
            "renderer": config.renderer,
            "gl": gl,
            "generation": str(GENERATION_VERSION),
            **(progress.graphics or {}),
            **progress.versions,
        },
        repeats=REPEATS[config.renderer],
        hinges=[part.hinge.to_dict() for part in obj.attached] or None,
        schema=schema_of(len(obj.attached), config.depth),
        symmetry=None if obj.symmetry.is_trivial else obj.symmetry.to_dict(),
        landmarks=landmarks(hand, resolved.rig).tolist(),
        statistics=LabelStatistics.of(positions, resolved.rig),
        shards=[
            Shard(name, *config.bounds(n), progress.sums[name]) for n, name in enumerate(names)
        ],
        hand={"name": NO_HAND} if is_scene else described,
        scene=described if is_scene else None,
    )
