"""The model of a hand: an `MjSpec` of its file, with servos, fingertips and geom groups."""

from fnmatch import fnmatchcase

import mujoco
import numpy as np

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.joint_ranges import required_limits
from opendactyl.sim.assets.model import load_model, one_line
from opendactyl.sim.assets.references import is_urdf, parse_xml
from opendactyl.sim.hands.spec import MOUNT, HandSpec
from opendactyl.sim.timing import TIMESTEP

HAND_GROUP, HIDDEN_GROUP = 1, 4
"""Geom groups of the hand: what pictures show, and what only collides."""
MATERIAL = "hand"
"""Material of the visible geoms, where they do not share one already."""
_USER_DATA = ("jnt", "site", "tendon", "actuator", "sensor", "body", "geom", "cam")
_TOUCH = mujoco.mjtSensor.mjSENS_TOUCH
_SHOWN = 2
"""The last geom group that MuJoCo's own viewers show."""


def hand_model(hand: HandSpec) -> mujoco.MjSpec:
    """Builds the hand, without lights, cameras, other sensors, textures and key frames.

    Raises:
        InputError: a file is missing, or a name in the description is not in the model.
    """
    spec = load_model(hand.asset.path)
    _remove(spec, hand)
    _add_servos(spec, hand)
    _check_names(spec, hand)
    _set_parameters(spec, hand)
    _add_fingertips(spec, hand)
    for first, second in hand.model.exclude:
        spec.add_exclude(bodyname1=_body(spec, hand, first), bodyname2=_body(spec, hand, second))
    if hand.model.mount is not None:
        set_groups(spec, is_urdf=is_urdf(hand.asset.path, parse_xml(hand.asset.path)))
        spec = _mounted(spec, hand)
    _set_material(spec)
    return spec


def set_options(spec: mujoco.MjSpec) -> None:
    """Sets the step, the integrator and the solver of the environment."""
    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.iterations = 20
    # Hand and object form one constraint island; detecting it takes 6 % of a step.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_ISLAND


def compile_model(spec: mujoco.MjSpec, hand: HandSpec) -> mujoco.MjModel:
    """Compiles a spec with the hand.

    Raises:
        InputError: MuJoCo cannot compile it.
    """
    try:
        return spec.compile()
    except ValueError as error:
        raise InputError(
            f"{hand.where}: MuJoCo cannot compile {hand.asset.path} ({one_line(error)})"
        ) from error


def _remove(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    for kind in ("bodies", "geoms", "tendons", "actuators"):
        for pattern in hand.model.remove:
            # Found anew after each removal, which may have removed others.
            while found := [e for e in getattr(spec, kind) if fnmatchcase(e.name, pattern)]:
                spec.delete(found[0])
    kept = [hand.model.prefix + name for name in hand.touch]
    sensors = [s for s in spec.sensors if s.type != _TOUCH or s.name not in kept]
    for element in (*spec.lights, *spec.cameras, *sensors, *spec.keys, *spec.textures):
        spec.delete(element)
    for material in spec.materials:
        material.textures = [""] * len(material.textures)


def _named(elements: list, prefix: str) -> list[str]:
    """Names of elements without the prefix; the world and what has no name are left out."""
    names = [e.name for e in elements if e.name.startswith(prefix)]
    return [name.removeprefix(prefix) for name in names if name not in ("", "world")]


def _require(hand: HandSpec, what: str, wanted: list[str], known: list[str]) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(
            f"{hand.where}: {hand.asset.path} has no {what} {hand.model.prefix + missing[0]!r}; "
            f"it has {', '.join(known) or 'none'}"
        )


def _body(spec: mujoco.MjSpec, hand: HandSpec, name: str) -> str:
    """The full name of a body whose name may have the prefix or not."""
    known = [body.name for body in spec.bodies]
    _require(hand, "body", [] if name in known else [name], _named(spec.bodies, hand.model.prefix))
    return hand.model.prefix + name if hand.model.prefix + name in known else name


def _check_names(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    prefix = hand.model.prefix
    joints = _named(spec.joints, prefix)
    _require(hand, "joint", [*hand.joints, *hand.start_joints], joints)
    actuators = _named(spec.actuators, prefix)
    _require(hand, "actuator", list(hand.actuators), actuators)
    kept = [name for name in actuators if name in hand.actuators]
    if kept != list(hand.actuators):
        raise InputError(f"{hand.where}: list the actuators in the model's order: {kept}")
    for actuator in spec.actuators:
        if actuator.name.removeprefix(prefix) not in hand.actuators:
            spec.delete(actuator)
    bodies, sites = _named(spec.bodies, prefix), _named(spec.sites, prefix)
    _require(hand, "body", [tip.body for tip in hand.fingertips if tip.body], bodies)
    _require(hand, "site", [tip.name for tip in hand.fingertips if not tip.body], sites)
    _require(hand, "touch sensor", list(hand.touch), _named(spec.sensors, prefix))
    for name in hand.joints:
        required_limits(spec, spec.joint(prefix + name), hand.where)


def _add_servos(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    """Adds position servos named after their joints, instead of the model's actuators."""
    servo, prefix = hand.model.servo, hand.model.prefix
    if servo is None:
        if not spec.actuators:
            raise InputError(
                f"{hand.where}: {hand.asset.path} has no actuators; add [servo] with kp, which "
                "adds position servos"
            )
        return
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    _require(hand, "joint", list(hand.actuators), _named(spec.joints, prefix))
    for name in hand.actuators:
        joint = spec.joint(prefix + name)
        limits = required_limits(spec, joint, hand.where)
        actuator = spec.add_actuator(
            name=prefix + name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT
        )
        actuator.set_to_position(servo.kp, kv=servo.kv)
        actuator.ctrlrange, actuator.ctrllimited = limits, True
        actuator.forcelimited = servo.force > 0
        actuator.forcerange = [-servo.force, servo.force]
    for joint in _moved_joints(spec, [prefix + name for name in hand.actuators]):
        if servo.damping is not None:
            joint.damping = [servo.damping, 0, 0]
        if servo.armature is not None:
            joint.armature = servo.armature


def _moved_joints(spec: mujoco.MjSpec, actuated: list[str]) -> list[mujoco.MjsJoint]:
    """The joints that actuators move, and those that follow them."""
    moved = dict.fromkeys(actuated)
    couplings = [e for e in spec.equalities if e.type == mujoco.mjtEq.mjEQ_JOINT and e.active]
    for _ in couplings:  # as often as the longest chain of joints needs
        moved |= dict.fromkeys(e.name1 for e in couplings if e.name2 in moved)
    return [spec.joint(name) for name in moved]


def _set_parameters(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    """Replaces the model's values by measured ones."""
    prefix, measured = hand.model.prefix, hand.parameters
    for name, value in measured.gain.items():
        actuator = spec.actuator(prefix + name)
        factor = value / actuator.gainprm[0]
        actuator.gainprm = np.asarray(actuator.gainprm) * factor
        actuator.biasprm = np.asarray(actuator.biasprm) * factor
    for name, value in measured.damping.items():
        spec.joint(prefix + name).damping = [value, 0, 0]
    for name, value in measured.armature.items():
        spec.joint(prefix + name).armature = value
    for name, value in measured.friction_loss.items():
        spec.joint(prefix + name).frictionloss = value


def _add_fingertips(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    prefix = hand.model.prefix
    for tip in hand.fingertips:
        if tip.body:
            spec.body(prefix + tip.body).add_site(name=prefix + tip.name, pos=tip.position)


def set_groups(spec: mujoco.MjSpec, *, is_urdf: bool) -> None:
    """Shows the geoms that viewers show, and of a URDF, whose geoms all are, the visual ones."""
    for body in spec.bodies:
        visual = [g for g in body.geoms if not (g.contype or g.conaffinity)]
        for geom in body.geoms:
            collides = bool(geom.contype or geom.conaffinity)
            hidden = collides and bool(visual) if is_urdf else geom.group > _SHOWN
            geom.group = HIDDEN_GROUP if hidden else HAND_GROUP


def _mounted(spec: mujoco.MjSpec, hand: HandSpec) -> mujoco.MjSpec:
    """The hand attached to a body at its pose; the options of its file are kept."""
    assert hand.model.mount is not None
    _fix_inertia(spec, hand)
    position, quaternion = hand.model.mount
    parent = mujoco.MjSpec()
    for name in ("cone", "impratio", "noslip_iterations"):
        setattr(parent.option, name, getattr(spec.option, name))
    parent.option.iterations = spec.option.iterations  # equal settings are no conflict
    for name in ("njmax", "nconmax", *(f"nuser_{kind}" for kind in _USER_DATA)):
        setattr(parent, name, getattr(spec, name))
    mount = parent.worldbody.add_body(name=MOUNT, pos=position, quat=quaternion)
    exclude_static_parents(spec)
    parent.attach(spec, frame=mount.add_frame(), prefix=f"{MOUNT}/")
    return parent


def exclude_static_parents(spec: mujoco.MjSpec) -> None:
    """Excludes contacts between static bodies and what moves on them.

    MuJoCo ignores contacts between other parents and their children.
    """
    static = [body.name for body in spec.bodies if body.name != "world" and not body.joints]
    for body in spec.bodies:
        if body.joints and body.parent.name in static:
            spec.add_exclude(bodyname1=body.parent.name, bodyname2=body.name)


def _fix_inertia(spec: mujoco.MjSpec, hand: HandSpec) -> None:
    """States the inertia of bodies whose geoms give it, since visual geoms may be removed later."""
    bodies = [body for body in spec.bodies if body.name != "world" and not body.explicitinertial]
    if not any(len(body.geoms) for body in bodies):
        return
    model = compile_model(spec.copy(), hand)
    for body in bodies:
        compiled = model.body(body.name)
        if compiled.mass[0] > 0:
            body.explicitinertial = True
            body.mass, body.ipos, body.iquat = compiled.mass[0], compiled.ipos, compiled.iquat
            body.inertia = compiled.inertia


def _set_material(spec: mujoco.MjSpec) -> None:
    visible = [geom for geom in spec.geoms if geom.group == HAND_GROUP]
    if len({geom.material for geom in visible}) == 1 and visible[0].material:
        return
    spec.add_material(name=MATERIAL)
    for geom in visible:
        geom.material = MATERIAL


def is_visual_only(geom: mujoco.MjsGeom) -> bool:
    """Whether a geom of the hand is for pictures only."""
    return geom.contype == 0 and geom.conaffinity == 0 and geom.group == HAND_GROUP
