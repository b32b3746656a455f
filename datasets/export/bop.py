"""Export to the scenewise format of BOP, the benchmark for 6D object pose estimation.

A shard becomes a scene, a camera a sensor suffix (`rgb_left`, `scene_gt_left.json`); the files of a
rig of one camera have none. BOP uses
millimetres and pixel centres at integers; OpenDactyl's are at +0.5. The true cameras are exported,
and the frame of the poses is BOP's world frame. Pixel counts and boxes end at the border of the
image.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from opendactyl.core.atomic_files import write_bytes, write_json, write_text
from opendactyl.core.run_dir import Forecast, new_folder, removed_on_failure
from opendactyl.datasets.export.bop_model import write_models
from opendactyl.datasets.foreign.bop_scene import MILLIMETRES, PIXEL_SHIFT
from opendactyl.datasets.format.depth import DEPTH_SCALE, depth_image
from opendactyl.datasets.format.manifest import Manifest, load_manifest, read_samples
from opendactyl.datasets.format.shards import Sample, encode_image
from opendactyl.datasets.generation.config import DatasetConfig, ResolvedConfig
from opendactyl.datasets.generation.shard_builder import open_renderer
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.transforms import pose_matrix
from opendactyl.render.appearance.config import Appearance
from opendactyl.render.base import Renderer
from opendactyl.sim.objects.spec import ObjectSpec

SPLIT = "test"
FIRST_ID = 1
"""The id of the object, or of its body; those of its parts follow."""
MIN_VISIBLE = 0.1
"""Visible fraction from which BOP counts an object as a target."""
INFO_TABLE = "scene_gt_info"

Tables = defaultdict[str, dict[str, Any]]


def export_bop(folder: Path, out: Path, *, depth: bool = False) -> Path:
    """Writes a dataset in BOP's format; masks are rendered from the labels.

    Depth images are those of the dataset; if it has none, they are rendered on request.

    Raises:
        InputError: the dataset is unfinished or damaged, or `out` is not empty.
        EnvironmentFailure: the disk is full or failed, or the renderer; nothing is left in `out`.
    """
    manifest = load_manifest(folder)
    resolved = ResolvedConfig.from_content(manifest.config, DatasetConfig(out=folder))
    depth = depth or resolved.config.depth
    with removed_on_failure(out):
        new_folder(out, resume=None)
        targets = _write_scenes(folder, out, manifest, resolved, depth=depth)
        write_models(out / "models", resolved.obj.bodies)
        cameras = manifest.load_rig().cameras
        for camera in cameras:
            sensor = _sensor(camera) | {"depth_scale": _scale(depth)}
            write_json(out / f"camera{suffix(camera, cameras)}.json", sensor)
        write_text(out / "dataset_info.md", _info_text(folder, manifest, resolved.obj, depth))
        write_json(out / f"{SPLIT}_targets_bop19.json", targets)
        _write_targets(out, manifest)
    return out


def _write_scenes(
    folder: Path, out: Path, manifest: Manifest, resolved: ResolvedConfig, *, depth: bool
) -> list[dict[str, int]]:
    """Writes images, masks and tables of all shards; returns the targets."""
    targets: list[dict[str, int]] = []
    done, forecast = 0, Forecast(out, manifest.num_samples)
    with (
        open_renderer(resolved) as renderer,
        tqdm(total=manifest.num_samples, unit="sample", desc=str(out)) as bar,
    ):
        for scene, shard in enumerate(manifest.shards):
            tables: Tables = defaultdict(dict)
            path = out / SPLIT / f"{scene:06d}"
            for number, sample in enumerate(read_samples(folder, manifest, shard)):
                poses = resolved.obj.poses(sample.label.hinges)
                _write_sample(path, number, sample, poses, renderer, tables, depth=depth)
                views = [t[str(number)] for n, t in tables.items() if n.startswith(INFO_TABLE)]
                targets += [_target(scene, number, body) for body in visible_bodies(views)]
                bar.update()
                done += 1
                forecast.update(done)
            for name, table in tables.items():
                write_json(path / f"{name}.json", table)
    return targets


def suffix(camera: Camera, cameras: Sequence[Camera]) -> str:
    """What distinguishes the files of a camera; a single one needs nothing."""
    return f"_{camera.name}" if len(cameras) > 1 else ""


def visible_bodies(views: Sequence[Sequence[dict[str, Any]]]) -> list[int]:
    """The bodies of which a view shows a tenth or more; a view gives the info of each body."""
    fractions = [[info["visib_fract"] for info in infos] for infos in views]
    return np.flatnonzero(np.max(fractions, axis=0) >= MIN_VISIBLE).tolist()


def _target(scene: int, number: int, body: int) -> dict[str, int]:
    """An instance to localize, as in the BOP challenges since 2019."""
    return {"scene_id": scene, "im_id": number, "obj_id": FIRST_ID + body, "inst_count": 1}


def _scale(depth: bool) -> float:
    """Millimetres of a step of the depth images."""
    return round(MILLIMETRES * DEPTH_SCALE, 9) if depth else 1.0


def _write_targets(out: Path, manifest: Manifest) -> None:
    """BOP's detection targets: one image per entry, and all views of a sample per entry."""
    frames = [
        (scene, number)
        for scene, shard in enumerate(manifest.shards)
        for number in range(shard.stop - shard.start)
    ]
    names = manifest.load_rig().names
    single = [{"scene_id": scene, "im_id": number} for scene, number in frames]
    multiview = [
        {"scene_id": scene, "im_id": [[name, number] for name in names]} for scene, number in frames
    ]
    write_json(out / f"{SPLIT}_targets_bop24.json", single)
    if len(names) > 1:
        write_json(out / f"{SPLIT}_targets_multiview_bop25.json", multiview)


def _info_text(folder: Path, manifest: Manifest, obj: ObjectSpec, depth: bool) -> str:
    symmetry = "the symmetry in models_info.json"
    if obj.symmetry.is_trivial:
        symmetry = "no symmetry"
    if obj.files is None:
        symmetry += ": its faces differ in colour and letter"
    place = f"the scene {manifest.scene['name']}" if manifest.scene else "a robot hand"
    frame = "that of the rig" if manifest.scene else "the hand frame"
    names = [part.body.name for part in obj.attached]
    ids = ", ".join(f"{FIRST_ID + 1 + i} ({name})" for i, name in enumerate(names))
    more = f" It is the body; objects {ids} are the parts that hinges join to it." if names else ""
    return f"""# The {manifest.object} in {place}, in BOP's scenewise format

Made by OpenDactyl from the {manifest.num_samples} samples of `{folder.name}` (settings
{manifest.config_hash[:16]}, seed {manifest.seed}). Synthetic colour images,
{"with" if depth else "no"} depth. Each scene is a shard, each image number a sample, with one image
per camera ({", ".join(manifest.load_rig().names)}). The world frame is {frame}.
Object {FIRST_ID} has {symmetry}.{more} Silhouettes, boxes and counts end at the border
of the image.
"""


def _sensor(camera: Camera) -> dict[str, Any]:
    K = bop_intrinsics(camera)
    return {
        "fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2],
        "width": camera.width, "height": camera.height,
    }  # fmt: skip


def bop_intrinsics(camera: Camera) -> NDArray[np.float64]:
    """Intrinsics (3, 3) for pixel centres at integers."""
    shift = np.zeros((3, 3))
    shift[:2, 2] = PIXEL_SHIFT
    return camera.K - shift


def _write_sample(
    folder: Path,
    number: int,
    sample: Sample,
    poses: list[NDArray[np.float64]],
    renderer: Renderer,
    tables: Tables,
    *,
    depth: bool,
) -> None:
    """Writes the files of a sample whose object has bodies at `poses` (4, 4), object frame."""
    label, cameras = sample.label, sample.label.true_cameras
    renderer.render(label.state, Appearance.from_dict(label.appearance))
    whole = [renderer.unoccluded_mask(body) for body in range(len(poses))]
    shown = renderer.segment_bodies()
    visible = [(shown == body) & mask for body, mask in enumerate(whole, start=1)]
    missing = depth and sample.depth is None
    steps = depth_image(renderer.depth()) if missing else sample.depth
    pose = pose_matrix(label.position, label.quaternion)
    for view, camera in enumerate(cameras):
        name, key = suffix(camera, cameras), str(number)
        for kind, images in (("rgb", sample.images), ("depth", steps)):
            if images is not None:
                path = folder / f"{kind}{name}" / f"{number:06d}.png"
                write_bytes(path, encode_image(images[view], None))
        for kind, masks in (("mask", whole), ("mask_visib", visible)):
            for body, mask in enumerate(masks):
                image = np.where(mask[view], 255, 0).astype(np.uint8)
                path = folder / f"{kind}{name}" / f"{number:06d}_{body:06d}.png"
                write_bytes(path, encode_image(image, None))
        tables[f"scene_camera{name}"][key] = _camera(camera) | {"depth_scale": _scale(depth)}
        tables[f"scene_gt{name}"][key] = [
            _pose(camera.cam_from_hand @ pose @ own, body) for body, own in enumerate(poses)
        ]
        tables[f"{INFO_TABLE}{name}"][key] = [
            instance_info(whole_of[view], visible_of[view])
            for whole_of, visible_of in zip(whole, visible, strict=True)
        ]


def _camera(camera: Camera) -> dict[str, Any]:
    return {
        "cam_K": bop_intrinsics(camera).ravel().tolist(),
        "cam_R_w2c": camera.cam_from_hand[:3, :3].ravel().tolist(),
        "cam_t_w2c": (MILLIMETRES * camera.cam_from_hand[:3, 3]).tolist(),
    }


def _pose(cam_from_body: NDArray[np.float64], body: int) -> dict[str, Any]:
    return {
        "cam_R_m2c": cam_from_body[:3, :3].ravel().tolist(),
        "cam_t_m2c": (MILLIMETRES * cam_from_body[:3, 3]).tolist(),
        "obj_id": FIRST_ID + body,
    }


def instance_info(whole: NDArray[np.bool_], visible: NDArray[np.bool_]) -> dict[str, Any]:
    """Counts and boxes of an instance's masks; as in BOP, no boxes where nothing is visible."""
    pixels, visible_pixels = int(whole.sum()), int(visible.sum())
    return {
        "bbox_obj": _box(whole & visible.any()),
        "bbox_visib": _box(visible),
        "px_count_all": pixels,
        "px_count_valid": pixels,
        "px_count_visib": visible_pixels,
        "visib_fract": visible_pixels / max(pixels, 1),
    }


def _box(mask: NDArray[np.bool_]) -> list[int]:
    """(x, y, width, height) of a mask, between centres of pixels; all -1 if it is empty."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return [-1, -1, -1, -1]
    x, y = int(columns.min()), int(rows.min())
    return [x, y, int(columns.max()) - x, int(rows.max()) - y]
