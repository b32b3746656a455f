"""Rotations, rigid poses, cameras and symmetries, on arrays of any batch shape.

Conventions, everywhere in OpenDactyl: SI units and radians; quaternions are (w, x, y, z), unit,
with w >= 0; `b_from_a` takes coordinates in frame a to coordinates in frame b, so that chains read
`cam_from_hand @ hand_from_object`; batch dimensions are B, camera views V, time T.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
