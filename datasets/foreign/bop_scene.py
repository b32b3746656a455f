"""A scene of a BOP dataset: its sensors, and the pose of an object in its images.

Where a scene has several sensors, their names end those of its files and folders
(`scene_gt_left.json`, `rgb_left/`). Simultaneous images have equal numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import exists
from opendactyl.datasets.foreign.pictures import PICTURES, picture_size
from opendactyl.datasets.foreign.samples import ForeignSample
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rig_import.calibration import FoundCamera, field, rigid
from opendactyl.geometry.rig_import.convert import exact_pose
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import invert_pose, pose_from_matrix

SINGLE = "camera"
"""Name of the camera of a scene that names no sensor."""
MILLIMETRES, PIXEL_SHIFT = 1000.0, 0.5
"""BOP's units per metre, and what its pixel coordinates lack: centres are at whole numbers."""
FAR = 0.01
"""Distance in metres from which the positions of an object in two views contradict each other."""
OTHER_TABLES = (["info"], ["coco"])
"""Ends of `scene_gt…` that are not names of sensors: visibility, and masks in COCO's form."""
MALFORMED = (AttributeError, IndexError, KeyError, TypeError, ValueError)
"""Exceptions raised while tables of another form are read."""

Table = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Sensor:
    """The tables of a sensor in a scene, by the numbers of the images."""

    name: str
    scene: Path
    suffix: str
    """What ends the names of its files."""
    cameras: Table
    poses: Table
    infos: Table
    """Empty if the dataset has none."""

    @property
    def where(self) -> str:
        """The file of its poses."""
        return str(self.scene / f"scene_gt{self.suffix}.json")

    def picture(self, image: str) -> Path:
        """The file of an image.

        Raises:
            InputError: there is none.
        """
        folders = [f"{kind}{self.suffix}" for kind in ("rgb", "gray")]
        for folder in folders:
            for ending in PICTURES:
                if exists(path := self.scene / folder / f"{int(image):06d}{ending}"):
                    return path
        raise InputError(
            f"{self.scene} has no image {int(image):06d} in {' or '.join(folders)}; restore it, or "
            f"remove it from {self.where}"
        )

    def instance(self, image: str, number: int) -> tuple[int, Table] | None:
        """Index and pose of an object in an image; None if it is not there.

        Raises:
            InputError: there are several.
        """
        found = [(i, e) for i, e in enumerate(self.poses[image]) if int(e["obj_id"]) == number]
        if len(found) > 1:
            raise InputError(
                f"{self.where}: image {image} shows object {number} {len(found)} times; estimators "
                "estimate a single one: leave such images out"
            )
        return found[0] if found else None

    def visible(self, image: str, index: int) -> float:
        """The visible fraction of an instance; NaN if the dataset does not state it."""
        return float(self.infos[image][index]["visib_fract"]) if image in self.infos else np.nan


def read_sensors(scene: Path, known: Rig) -> list[Sensor]:
    """Reads the tables of a scene's sensors, in the order of the known cameras.

    Raises:
        InputError: a table is missing or damaged.
        EnvironmentFailure: the disk failed.
    """
    names = {path.stem.removeprefix("scene_gt") for path in scene.glob("scene_gt*.json")}
    names = {name for name in names if name.split("_")[1:2] not in OTHER_TABLES}
    if not names:
        raise InputError(f"{scene} has no scene_gt.json, the table of the poses; restore it")
    sensors = []
    for suffix in sorted(names):
        paths = [scene / f"scene_{what}{suffix}.json" for what in ("camera", "gt", "gt_info")]
        tables = [read_json(p) if p != paths[2] or exists(p) else {} for p in paths]
        for path, table in zip(paths, tables, strict=True):
            if not isinstance(table, dict):
                raise InputError(f"{path} is not a table of images; make it again")
        only = known.names[0] if len(known.names) == 1 else SINGLE
        sensors.append(Sensor(suffix.removeprefix("_") or only, scene, suffix, *tables))
    order = {name: number for number, name in enumerate(known.names)}
    return sorted(sensors, key=lambda sensor: order.get(sensor.name, len(order)))


def samples_of(sensors: Sequence[Sensor], number: int, known: Rig) -> list[ForeignSample]:
    """The images of a scene that all sensors have and that show an object.

    Args:
        sensors: those of the scene.
        number: the object.
        known: see `bop.read_bop`.

    Raises:
        InputError: a table or an image is missing or damaged, the object is in an image more than
            once, or its poses in two views contradict each other.
        EnvironmentFailure: the disk failed.
    """
    common = set.intersection(*(sensor.poses.keys() & sensor.cameras for sensor in sensors))
    samples: list[ForeignSample] = []
    cameras, rig = [], None
    for image in sorted(common, key=lambda image: (len(image), image)):
        where = f"image {image} of {sensors[0].scene}"
        try:
            found = [sensor.instance(image, number) for sensor in sensors]
            if not any(found):
                continue
            pictures = tuple(sensor.picture(image) for sensor in sensors)
            visible = [np.nan if f is None else sensor.visible(image, f[0])
                       for sensor, f in zip(sensors, found, strict=True)]  # fmt: skip
        except MALFORMED as error:
            raise InputError(f"{where} has entries of another form ({error!r})") from error
        before, cameras = cameras, [sensor.cameras[image] for sensor in sensors]
        if rig is None or cameras != before:  # Samples with equal cameras share their rig.
            rig = _rig(sensors, image, pictures, known)
        pose = _pose_in_world(rig, [None if f is None else f[1] for f in found], where)
        samples.append(
            ForeignSample(
                where, rig, pictures, *pose_from_matrix(pose), np.array(visible), np.zeros(0)
            )
        )
    return samples


def _rig(sensors: Sequence[Sensor], image: str, pictures: Sequence[Path], known: Rig) -> Rig:
    """The cameras of simultaneous images."""
    cameras = []
    for sensor, picture in zip(sensors, pictures, strict=True):
        table, where = sensor.cameras[image], f"{sensor.scene}: image {image} of {sensor.name}"
        other = next((c for c in known.cameras if c.name == sensor.name), None)
        size = picture_size(picture)
        K = field(table, ("cam_K",), (3, 3), where)
        K[:2, 2] += PIXEL_SHIFT
        if "cam_R_w2c" in table:
            rotation = field(table, ("cam_R_w2c",), (3, 3), where)
            position = field(table, ("cam_t_w2c",), (3,), where) / MILLIMETRES
            pose, _ = exact_pose(
                FoundCamera(sensor.name, where, size, K, rigid(rotation, position))
            )
        else:
            pose = _known_pose(other, where, known)
        roi = None
        if other is not None and (other.width, other.height) == size:
            roi = other.roi
        cameras.append(Camera(sensor.name, *size, K, pose, roi=roi))
    return Rig(sensors[0].scene.parent.parent.name, tuple(cameras))


def _known_pose(camera: Camera | None, where: str, known: Rig) -> Array:
    """The pose (4, 4) of a camera whose dataset states none."""
    if camera is None:
        raise InputError(
            f"{where} has no cam_R_w2c and cam_t_w2c, and the rig {known.name} "
            f"({', '.join(known.names)}) no camera of that name; give the poses of the cameras "
            "with --rig FILE"
        )
    return camera.cam_from_hand


def _pose_in_world(rig: Rig, entries: Sequence[Table | None], where: str) -> Array:
    """world_from_object (4, 4) in metres, from the first view that states it."""
    poses = []
    for camera, entry in zip(rig.cameras, entries, strict=True):
        if entry is not None:
            rotation = field(entry, ("cam_R_m2c",), (3, 3), where)
            position = field(entry, ("cam_t_m2c",), (3,), where) / MILLIMETRES
            poses.append(invert_pose(camera.cam_from_hand) @ rigid(rotation, position))
    apart = max(float(np.linalg.norm(pose[:3, 3] - poses[0][:3, 3])) for pose in poses)
    if apart > FAR:
        raise InputError(
            f"{where}: the positions of the object in the views are up to {1000 * apart:.0f} mm "
            "apart; cam_R_w2c and cam_t_w2c must map one world to each camera"
        )
    return poses[0]
