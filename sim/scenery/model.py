"""The model of a scene: an `MjSpec` of its models, floor and occluders. All that moves is drawn."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.joint_ranges import joint_limits, set_joint_limits
from opendactyl.sim.assets.model import load_model
from opendactyl.sim.assets.references import is_urdf, parse_xml
from opendactyl.sim.hands.model import (
    HAND_GROUP,
    HIDDEN_GROUP,
    exclude_static_parents,
    set_groups,
)
from opendactyl.sim.scenery.spec import FLOOR, WALL, Occluder, SceneModel, Scenery

FLOOR_SIZE = 2.5
"""Half the width of the floor in metres."""
SLIDE, HINGE = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
_JOINT = mujoco.mjtEq.mjEQ_JOINT
HIDDEN_AT = -50.0
"""Height of occluders that are not in a sample."""
_DEFAULT_RGBA = [0.5, 0.5, 0.5, 1.0]
_THICKNESS = 0.5
_AXES = np.eye(3)
_SHAPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
}


def scenery_model(scenery: Scenery) -> mujoco.MjSpec:
    """Builds a scene; its visible geoms have a material for each of `Scenery.colours`.

    Raises:
        InputError: a file is missing or cannot be read, or a name is not in the models.
    """
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    floor = _add_floor(spec, scenery)
    for model, asset in zip(scenery.models, scenery.assets, strict=True):
        position, quaternion = model.pose
        parent = floor if model.on_floor else spec.worldbody
        mount = parent.add_body(name=model.name, pos=position, quat=quaternion)
        child = _child(model, asset.path, f"{scenery.where}, model {model.name}")
        spec.attach(child, frame=mount.add_frame(), prefix=f"{model.name}/")
    for kind, occluder in enumerate(scenery.occluders):
        _add_occluders(spec, occluder, f"occluder/{kind}")
    _add_colours(spec, scenery)
    return spec


def movable(model: mujoco.MjModel, followers: Collection[str]) -> tuple[str, ...]:
    """Names of the joints whose values are drawn: hinges and slides that follow no other."""
    kinds = np.isin(model.jnt_type, (SLIDE, HINGE))
    names = [model.joint(number).name for number in np.flatnonzero(kinds).tolist()]
    return tuple(name for name in names if name not in followers)


def _add_floor(spec: mujoco.MjSpec, scenery: Scenery) -> mujoco.MjsBody:
    """The body of the floor, whose height is a joint where it is uncertain."""
    if scenery.floor is None:
        return spec.worldbody
    low, high = scenery.floor
    body = spec.worldbody.add_body(name=FLOOR, pos=[0, 0, low])
    if high > low:
        body.add_joint(name=FLOOR, type=SLIDE, axis=_AXES[2], range=[0, high - low], limited=True)
        _set_inertia(body)
    body.add_geom(
        name=f"{FLOOR}:solid", type=mujoco.mjtGeom.mjGEOM_BOX, pos=[0, 0, -_THICKNESS],
        size=[FLOOR_SIZE, FLOOR_SIZE, _THICKNESS], group=HIDDEN_GROUP,
    )  # fmt: skip
    return body


def _set_inertia(body: mujoco.MjsBody) -> None:
    """Any inertia, which MuJoCo demands: nothing is simulated."""
    body.explicitinertial = True
    body.mass, body.ipos, body.inertia = 1.0, [0, 0, 0], [1e-3] * 3
    body.fullinertia = [np.nan] + [0.0] * 5


def _child(model: SceneModel, path: Path, where: str) -> mujoco.MjSpec:
    spec = load_model(path, dynamic=False)
    for kind in ("bodies", "geoms"):
        for pattern in model.remove:
            while found := [e for e in getattr(spec, kind) if fnmatchcase(e.name, pattern)]:
                spec.delete(found[0])
    for element in (*spec.lights, *spec.cameras, *spec.sensors, *spec.keys, *spec.actuators):
        spec.delete(element)
    _reset_options(spec)
    for joint in [joint for joint in spec.joints if joint.type not in (SLIDE, HINGE)]:
        spec.delete(joint)  # what floats or turns freely stays where it is
    for texture in spec.textures:
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    for number, joint in enumerate(spec.joints):
        joint.name = joint.name or f"joint{number}"
    for number, body in enumerate(spec.bodies):
        if number > 0:  # not the world
            body.name = body.name or f"body{number}"
            _set_inertia(body)
    for mesh in spec.meshes:
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # open ones have no volume
    root = parse_xml(path)
    if urdf := is_urdf(path, root):
        _name_materials(spec, root)
    set_groups(spec, is_urdf=urdf)
    exclude_static_parents(spec)
    _restrict_joints(spec, model, where)
    if not model.collides:
        for geom in spec.geoms:
            geom.contype = geom.conaffinity = 0
    return spec


def _reset_options(spec: mujoco.MjSpec) -> None:
    """Sets the options of physics to MuJoCo's: they differ between models, and have no effect."""
    option = mujoco.MjSpec().option
    for name in dir(option):
        if not name.startswith("_") and not callable(getattr(option, name)):
            setattr(spec.option, name, getattr(option, name))


def _name_materials(spec: mujoco.MjSpec, root: ElementTree.Element) -> None:
    """Gives geoms the materials of a URDF, of which MuJoCo keeps the colours only."""
    colours = {}
    for material in root.iter("material"):
        colour = material.find("color")
        if colour is not None and material.get("name"):
            rgba = [float(x) for x in colour.get("rgba", "").split()]
            colours[material.get("name")] = rgba
    for name, rgba in colours.items():
        spec.add_material(name=name, rgba=rgba)
    for geom in spec.geoms:
        for name, rgba in colours.items():
            if np.allclose(geom.rgba, rgba, atol=1e-6):
                geom.material = name
                break


def _restrict_joints(spec: mujoco.MjSpec, model: SceneModel, where: str) -> None:
    """Sets the ranges that the scene states; joints without limits need one."""
    followers = {e.name1: e.name2 for e in spec.equalities if e.type == _JOINT and e.active}
    names = ", ".join(j.name for j in spec.joints if j.name not in followers) or "none"
    for pattern, (low, high) in model.joints.items():
        found = [joint for joint in spec.joints if fnmatchcase(joint.name, pattern)]
        if not found:
            raise InputError(f"{where}: it has no joint {pattern!r}; its joints are {names}")
        led = [joint for joint in found if joint.name not in followers]
        if not led:
            leader = followers[found[0].name]
            raise InputError(
                f"{where}: joint {found[0].name} follows {leader or 'none, it is constant'}; only "
                f"other joints have ranges: {names}"
            )
        for joint in led:
            limits = joint_limits(spec, joint)
            if low < limits[0] - 1e-6 or high > limits[1] + 1e-6:
                raise InputError(
                    f"{where}: the range {low:g} to {high:g} of joint {joint.name} exceeds its "
                    f"limits, {limits[0]:g} to {limits[1]:g}; choose a range within them"
                )
            set_joint_limits(spec, joint, low, max(high, low + 1e-9))
    for joint in spec.joints:
        if joint.name not in followers and not np.isfinite(joint_limits(spec, joint)).all():
            if joint.type == SLIDE:
                raise InputError(
                    f"{where}: joint {joint.name} has no limits; state its range, "
                    f"joints = {{ {joint.name!r} = [lowest, highest] }}"
                )
            set_joint_limits(spec, joint, -np.pi, np.pi)


def _add_occluders(spec: mujoco.MjSpec, occluder: Occluder, name: str) -> None:
    """As many bodies as can be in a sample; their sizes are spread over the range."""
    (small, large), (low, high) = np.array(occluder.size), np.array(occluder.positions)
    count = occluder.count[1]
    for number in range(count):
        body = spec.worldbody.add_body(name=f"{name}.{number}")
        for axis, letter in zip(_AXES, "xyz", strict=True):
            bounds = [axis @ low, max(axis @ high, axis @ low + 1e-9)]
            body.add_joint(
                name=f"{name}.{number}:{letter}", type=SLIDE, axis=axis, range=bounds, limited=True
            )
        for axis, letter in zip(_AXES, "abc", strict=True):
            body.add_joint(
                name=f"{name}.{number}:{letter}", type=HINGE, axis=axis,
                range=[-np.pi, np.pi], limited=True,
            )  # fmt: skip
        _set_inertia(body)
        size = small + (large - small) * (number + 0.5) / count
        if occluder.shape in ("capsule", "cylinder"):
            size = np.array([size[0], size[2], 0.0])
        body.add_geom(
            name=f"{name}.{number}", type=_SHAPES[occluder.shape], size=size, group=HAND_GROUP
        )


def material_name(number: int) -> str:
    """The material of the colour with a number."""
    return f"scenery:{number}"


def _add_colours(spec: mujoco.MjSpec, scenery: Scenery) -> None:
    """Assigns materials; what has a texture keeps it, unless the scene states its colour."""
    visible = [geom for geom in spec.geoms if geom.group == HAND_GROUP]
    names = {geom: (geom.material, geom.name, geom.parent.name) for geom in visible}
    textured = {m.name for m in spec.materials if any(m.textures)}
    for number, colour in enumerate(scenery.colours):
        spec.add_material(name=material_name(number))
        room = {FLOOR, WALL} & set(colour.patterns)
        found = [
            geom
            for geom in visible
            if any(fnmatchcase(n, p) for p in colour.patterns for n in names[geom] if n)
        ]
        if colour.is_given and not found and not room:
            known = sorted({name for options in names.values() for name in options if name})
            raise InputError(
                f"{scenery.where}: colour {number + 1} is of {', '.join(colour.patterns)}, which "
                f"is not in the scene; it has {', '.join([FLOOR, WALL, *known])}"
            )
        for geom in found:
            visible.remove(geom)
            if colour.is_given or geom.material not in textured:
                geom.material = material_name(number)
                geom.rgba = _DEFAULT_RGBA  # any other overrides the material
