"""Reads the TOML file of a hand."""

from pathlib import Path

import numpy as np

from opendactyl.geometry.rotation import Array
from opendactyl.sim.assets.fields import NAME, NAME_FORM, Fields, Triple, is_vector, read_toml
from opendactyl.sim.hands.frame import HandFrame
from opendactyl.sim.hands.log_columns import KEYS as LOG_KEYS
from opendactyl.sim.hands.log_columns import LogColumns
from opendactyl.sim.hands.parameters import KINDS, PhysicalParameters
from opendactyl.sim.hands.spec import DEFAULT_HAND, Fingertip, HandSpec, ModelFile, Servo

KEYS = ("name", "joints", "actuators", "fingertips", "nails", "drop_height", "object_positions",
        "start", "coarse", "landmarks", "model", "mount", "frame", "servo", "backlash",
        "parameters", "log", "touch")  # fmt: skip
POSITIONS = ((-0.03, -0.03, 0.0), (0.05, 0.03, 0.08))
"""Default of `object_positions`: the space over a palm at the origin."""
START_POSITION = (0.0, 0.0, 0.035)


def load_hand(path: Path, *, is_shipped: bool = False) -> HandSpec:
    """Reads a hand file; `docs/hands.md` describes the keys. The model is not read.

    Raises:
        InputError: the file is missing, or a value is wrong.
        EnvironmentFailure: the disk failed.
    """
    fields = Fields(read_toml(path, "hand"), f"hand {path}", KEYS)
    name = fields.text("name", path.stem)
    if not NAME.fullmatch(name):
        raise fields.wrong("name", NAME_FORM)
    actuators = fields.names("actuators")
    fingertips = _fingertips(fields)
    start = fields.table("start", ("joints", "position"))
    installed = is_shipped and name == DEFAULT_HAND
    return HandSpec(
        name=name,
        path=path,
        model=_model(fields, mounted=not installed),
        joints=(joints := fields.names("joints")),
        actuators=actuators,
        fingertips=fingertips,
        frame=_frame(fields),
        drop_height=fields.number("drop_height"),
        object_positions=_box(fields),
        start_position=start.triple("position", START_POSITION),
        start_joints=_start_joints(start, joints),
        coarse=fields.names("coarse", ("*",)),
        landmarks=_points(fields, "landmarks", 1) if "landmarks" in fields else None,
        nails=_nails(fields, len(fingertips)),
        touch=_touch(fields, len(fingertips)),
        backlash_exponents=_backlash(fields, len(actuators)),
        parameters=PhysicalParameters.read(fields.table("parameters", KINDS), joints, actuators),
        log=LogColumns.read(fields.table("log", LOG_KEYS), (*joints, *actuators)),
        is_shipped=is_shipped,
    )


def _points(fields: Fields, key: str, least: int, count: int | None = None) -> Array:
    value = fields.get(key)
    form = f"a list of {count or f'at least {least}'} points [x, y, z]"
    if not isinstance(value, list) or not all(is_vector(point, 3) for point in value):
        raise fields.wrong(key, form)
    if len(value) < least or count not in (None, len(value)):
        raise fields.wrong(key, form)
    return np.array(value, dtype=np.float64)


def _model(fields: Fields, *, mounted: bool) -> ModelFile:
    known = ("file", "package", "source", "prefix", "remove", "exclude")
    model = fields.table("model", known)
    pairs = model.get("exclude") or []
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and all(isinstance(b, str) for b in p) for p in pairs
    ):
        raise model.wrong("exclude", "a list of pairs of bodies")
    optional = {key: model.text(key) for key in known[1:4] if key in model}
    return ModelFile(
        file=model.text("file"),
        **optional,
        remove=model.names("remove", ()),
        exclude=tuple((a, b) for a, b in pairs),
        mount=fields.table("mount", ("position", "quaternion")).pose() if mounted else None,
        servo=_servo(fields),
    )


def _servo(fields: Fields) -> Servo | None:
    if "servo" not in fields:
        return None
    table = fields.table("servo", Servo._fields)
    values = {key: table.number(key) for key in Servo._fields[1:] if key in table}
    for key, value in values.items():
        if value < 0:
            raise table.wrong(key, "a number that is not negative")
    return Servo(table.positive("kp"), **values)


def _frame(fields: Fields) -> HandFrame:
    """The hand frame; y follows from x and z."""
    table = fields.table("frame", ("position", "x", "z"))
    matrix = np.eye(4)
    x, z = (table.triple(key, axis) for key, axis in (("x", (1, 0, 0)), ("z", (0, 0, 1))))
    axes = np.array([x, np.cross(z, x) + 0.0, z])
    if not np.allclose(axes @ axes.T, np.eye(3), atol=1e-6):
        raise table.error(f"x = {list(x)} and z = {list(z)} are not orthogonal unit vectors")
    matrix[:3, :3] = axes.T
    matrix[:3, 3] = table.triple("position", (0.0, 0.0, 0.0))
    return HandFrame(matrix)


def _fingertips(fields: Fields) -> tuple[Fingertip, ...]:
    value = fields.get("fingertips")
    if not isinstance(value, list) or not value:
        raise fields.wrong("fingertips", "a list of sites or of {name, body, position}")
    tips = []
    for number, entry in enumerate(value):
        if isinstance(entry, str):
            tips.append(Fingertip(entry))
        elif isinstance(entry, dict):
            where = f"{fields.where}, fingertip {number + 1}"
            table = Fields(entry, where, Fingertip._fields)
            body = table.text("body")
            tips.append(
                Fingertip(table.text("name", body), body, table.triple("position", (0, 0, 0)))
            )
        else:
            raise fields.wrong("fingertips", "a list of sites or of {name, body, position}")
    if len({tip.name for tip in tips}) < len(tips):
        raise fields.error("two fingertips have the same name; give each a name of its own")
    return tuple(tips)


def _nails(fields: Fields, count: int) -> Array:
    if "nails" not in fields:
        return np.zeros((count, 3))
    return _points(fields, "nails", count, count)


def _touch(fields: Fields, count: int) -> tuple[str, ...]:
    sensors = fields.names("touch", ())
    if len(sensors) not in (0, count):
        raise fields.wrong("touch", f"{count} touch sensors, one for each fingertip")
    return sensors


def _box(fields: Fields) -> tuple[Triple, Triple]:
    if "object_positions" not in fields:
        return POSITIONS
    low, high = _points(fields, "object_positions", 2, 2).tolist()
    if not np.all(np.less(low, high)):
        raise fields.wrong("object_positions", "the lowest and the highest [x, y, z]")
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _start_joints(start: Fields, joints: tuple[str, ...]) -> dict[str, float]:
    value = start.get("joints") or {}
    if not isinstance(value, dict):
        raise start.wrong("joints", "a table of joints and their angles")
    table = Fields(value, f"{start.where}, joints", joints)
    return {name: table.number(name) for name in value}


def _backlash(fields: Fields, actuators: int) -> Array | None:
    if "backlash" not in fields:
        return None
    table = fields.table("backlash", ("down", "up"))
    form = f"{actuators} numbers, one for each actuator"
    return np.array([table.numbers(key, actuators, form) for key in ("down", "up")])
