"""Rotations, rigid poses, cameras and symmetries, for arrays of any batch shape.

Conventions of OpenDactyl: SI units and radians; unit quaternions (w, x, y, z) with w >= 0;
`b_from_a` maps coordinates of frame a to coordinates of frame b, so that transforms chain as
`cam_from_hand @ hand_from_object`; batch dimensions are B, camera views V, time T.
"""
