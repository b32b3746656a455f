"""Reads the TOML file of a scene, or takes an MJCF or URDF for one."""

import math
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.fields import NAME, NAME_FORM, Fields, Triple, is_vector, read_toml
from opendactyl.sim.assets.references import referenced_files
from opendactyl.sim.assets.source_files import common_folder
from opendactyl.sim.hands.frame import HandFrame
from opendactyl.sim.hands.spec import ModelFile
from opendactyl.sim.scenery.places import load_mixture, load_volume
from opendactyl.sim.scenery.spec import (
    FLOOR,
    WALL,
    ColourRange,
    Occluder,
    Range,
    SceneModel,
    Scenery,
)

KEYS = ("name", "model", "occluder", "colour", "floor", "volume", "states", "backgrounds",
        "landmarks", "coarse")  # fmt: skip
SHAPES = ("box", "sphere", "capsule", "cylinder")
MODEL_SUFFIXES = (".urdf", ".xml", ".mjcf")
PICTURES = (".jpg", ".jpeg", ".png")
MOST_PICTURES, MOST_OCCLUDERS = 500, 8


def load_scenery(path: Path) -> Scenery:
    """Reads a scene; `docs/scenes.md` describes the keys. Models are not read.

    Raises:
        InputError: the file is missing, or a value is wrong.
        EnvironmentFailure: the disk failed.
    """
    if path.suffix.lower() in MODEL_SUFFIXES:
        root, text = _described_model(path)
        return _scenery(path, root / "scene.toml", tomllib.loads(text), text.encode())
    content = read_toml(path, "scene")
    return _scenery(path, path, content, path.read_bytes())


def _described_model(path: Path) -> tuple[Path, str]:
    """The folder and the text of a scene file for a model, which is relative to that folder."""
    root = common_folder(referenced_files(path))
    name = re.sub(r"[^A-Za-z0-9_-]", "-", path.stem).strip("-_") or "scene"
    file = path.resolve().relative_to(root).as_posix()
    text = f'name = "{name}"\n[floor]\n[[model]]\nname = "model"\nfile = "{file}"\n'
    return root, text


def _scenery(given: Path, path: Path, content: dict[str, Any], text: bytes) -> Scenery:
    fields = Fields(content, f"scene {given}", KEYS)
    name = fields.text("name", path.stem)
    if not NAME.fullmatch(name):
        raise fields.wrong("name", NAME_FORM)
    models = tuple(_model(table) for table in _tables(fields, "model", _MODEL_KEYS))
    occluders = tuple(_occluder(table) for table in _tables(fields, "occluder", _OCCLUDER_KEYS))
    _check(fields, models, occluders)
    volume = load_volume(fields)
    return Scenery(
        name=name, path=path, model=ModelFile(file=""), joints=(), actuators=(), fingertips=(),
        frame=HandFrame(np.eye(4)), drop_height=-math.inf, start_position=volume.high,
        nails=np.zeros((0, 3)), object_positions=(volume.low, volume.high),
        coarse=fields.names("coarse", ("*",)), landmarks=_landmarks(fields), models=models,
        occluders=occluders, floor=_floor(fields), colours=_colours(fields, models, occluders),
        volume=volume, mixture=load_mixture(fields), pictures=_pictures(fields, path.parent),
        given=given, text=text,
    )  # fmt: skip


RESERVED = {FLOOR, "object", "occluder", "world"}
"""Names of bodies that a scene has besides the models."""


def _check(fields: Fields, models: tuple[SceneModel, ...], occluders: tuple[Occluder, ...]) -> None:
    names = [model.name for model in models]
    if len(set(names)) < len(names) or not RESERVED.isdisjoint(names):
        raise fields.error(
            f"each model needs a name of its own, other than {', '.join(sorted(RESERVED))}; they "
            f"are {', '.join(names)}"
        )
    if any(model.on_floor for model in models) and "floor" not in fields:
        raise fields.error("a model is on_floor, and the scene has no [floor]; add one")
    if sum(occluder.count[1] for occluder in occluders) > MOST_OCCLUDERS:
        raise fields.error(f"there are at most {MOST_OCCLUDERS} occluders; reduce count")


def _tables(fields: Fields, key: str, known: tuple[str, ...]) -> list[Fields]:
    value = fields.get(key) or []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise fields.wrong(key, f"tables [[{key}]] with {', '.join(known)}")
    return [Fields(v, f"{fields.where}, {key} {i + 1}", known) for i, v in enumerate(value)]


_MODEL_KEYS = ("name", "file", "package", "source", "position", "quaternion", "collision",
               "on_floor", "joints", "remove")  # fmt: skip


def _model(table: Fields) -> SceneModel:
    file = table.text("file")
    name = table.text("name", Path(file).stem)
    if not NAME.fullmatch(name):
        raise table.wrong("name", "letters, digits, _ and -")
    given = table.get("joints") or {}
    if not isinstance(given, dict):
        raise table.wrong("joints", "a table of joints and their ranges")
    joints = Fields(given, f"{table.where}, joints", tuple(given))
    return SceneModel(
        name=name,
        file=file,
        **{key: table.text(key) for key in ("package", "source") if key in table},
        pose=table.pose(),
        collides=_flag(table, "collision", True),
        on_floor=_flag(table, "on_floor", False),
        joints={pattern: _range(joints, pattern) for pattern in given},
        remove=table.names("remove", ()),
    )


def _flag(table: Fields, key: str, default: bool) -> bool:
    value = table.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise table.wrong(key, "true or false")
    return value


def _range(
    table: Fields, key: str, default: Range | None = None, limits: Range = (-math.inf, math.inf)
) -> Range:
    """A number, or the lowest and the highest."""
    value = table.get(key)
    if value is None and default is not None:
        return default
    numbers: list[Any] = value if isinstance(value, list) else [value, value]
    if not is_vector(numbers, 2) or not limits[0] <= numbers[0] <= numbers[1] <= limits[1]:
        within = "" if limits[1] == math.inf else f" from {limits[0]:g} to {limits[1]:g}"
        raise table.wrong(key, f"a number{within}, or a range [lowest, highest] of such")
    return float(numbers[0]), float(numbers[1])


_OCCLUDER_KEYS = ("shape", "count", "size", "low", "high")


def _occluder(table: Fields) -> Occluder:
    low, high = table.triple("low"), table.triple("high")
    if not all(a <= b for a, b in zip(low, high, strict=True)):
        raise table.error(f"low is {list(low)} and high {list(high)}; low must not exceed high")
    count = _range(table, "count", (1.0, 1.0), (0.0, MOST_OCCLUDERS))
    if not all(number.is_integer() for number in count):
        raise table.wrong("count", "whole numbers")
    return Occluder(
        shape=table.choice("shape", SHAPES),
        count=(int(count[0]), int(count[1])),
        size=_sizes(table),
        positions=(low, high),
    )


def _sizes(table: Fields) -> tuple[Triple, Triple]:
    value = table.get("size")
    pair = value if isinstance(value, list) and all(isinstance(v, list) for v in value) else [value]
    if not all(is_vector(size, 3) and min(size) > 0 for size in pair) or len(pair) not in (1, 2):
        raise table.wrong("size", "half lengths [x, y, z] in metres, or two of them as a range")
    (a, b, c), (d, e, f) = pair[0], pair[-1]
    return (float(a), float(b), float(c)), (float(d), float(e), float(f))


def _floor(fields: Fields) -> Range | None:
    if "floor" not in fields:
        return None
    return _range(fields.table("floor", ("height",)), "height", (0.0, 0.0))


_COLOUR_KEYS = ("of", "hue", "saturation", "value", "metallic", "gloss")


def _colours(
    fields: Fields, models: tuple[SceneModel, ...], occluders: tuple[Occluder, ...]
) -> tuple[ColourRange, ...]:
    """The colours that are given, and one for each model and kind of occluder without."""
    found = []
    for table in _tables(fields, "colour", _COLOUR_KEYS):
        ranges: dict[str, Any] = {
            key: _range(table, key, limits=(0.0, 2.0 if key == "hue" else 1.0))
            for key in _COLOUR_KEYS[1:]
            if key in table
        }
        found.append(ColourRange(patterns=table.names("of"), **ranges))
    others = [
        *(f"{model.name}/*" for model in models),
        *(f"occluder/{number}*" for number, _ in enumerate(occluders)),
        FLOOR,
        WALL,
    ]
    return (*found, *(ColourRange(patterns=(other,), is_given=False) for other in others))


def _landmarks(fields: Fields) -> np.ndarray | None:
    value = fields.get("landmarks")
    if value is None:
        return None
    if not isinstance(value, list) or not all(is_vector(point, 3) for point in value):
        raise fields.wrong("landmarks", "a list of points [x, y, z], or [] for none")
    return np.array(value, dtype=np.float64).reshape(-1, 3)


def _pictures(fields: Fields, folder: Path) -> tuple[Path, ...]:
    if "backgrounds" not in fields:
        return ()
    table = fields.table("backgrounds", ("folder",))
    where = folder / table.text("folder")
    if not where.is_dir():
        raise table.wrong("folder", f"a folder of pictures; {where} is none")
    if not where.resolve().is_relative_to(folder.resolve()):
        raise table.wrong("folder", f"inside {folder}, of which datasets contain a copy")
    found = sorted(path for path in where.iterdir() if path.suffix.lower() in PICTURES)
    if not 0 < len(found) <= MOST_PICTURES:
        raise InputError(
            f"{table.where}: {where} holds {len(found)} pictures ({', '.join(PICTURES)}); it must "
            f"hold from 1 to {MOST_PICTURES}"
        )
    return tuple(found)
