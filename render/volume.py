"""The working volume over the palm or of a scene, and which cameras see it."""

import numpy as np

from opendactyl.geometry.camera_faults import check_every_camera
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.working_volume import box_corners
from opendactyl.sim.hands.spec import HandSpec
from opendactyl.sim.objects.spec import ObjectSpec


def working_volume(obj: ObjectSpec, hand: HandSpec) -> Array:
    """Corners (8, 3) of the space that an upright object fills at the positions of free states.

    The hand may be a `Scenery`, which has a volume of its own.
    """
    low, high = np.array(hand.object_positions)
    return box_corners(low - obj.reach, high + obj.reach)


def check_views(rig: Rig, obj: ObjectSpec, hand: HandSpec) -> None:
    """Checks that each camera of a rig sees the object: `check_every_camera`.

    Raises:
        InputError: one does not.
    """
    check_every_camera(rig, working_volume(obj, hand))
