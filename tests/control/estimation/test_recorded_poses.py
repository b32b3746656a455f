"""Tracks of orientations from the poses of a recording."""

import numpy as np

from opendactyl.control.estimation.recorded_poses import recorded_orientations
from opendactyl.geometry.rotation import geodesic_angle, yaw_quat


def test_pictures_without_a_pose_take_their_time(tmp_path):
    """Of pictures every 80 ms, those from the third to the sixth gave no pose."""
    names = ("frame", "seconds", *(f"quaternion_{axis}" for axis in "wxyz"))
    angles = 0.1 * np.arange(30)
    rows = [
        ",".join([f"{2 * i:04d}", "", *(f"{v:.8f}" for v in yaw_quat(angles[i]))])
        for i in range(30)
        if not 2 <= i < 6
    ]
    (tmp_path / "poses.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    track = recorded_orientations(tmp_path)
    assert len(track) == 30
    error = geodesic_angle(track, yaw_quat(angles))
    assert error[[*range(2), *range(6, 30)]].max() < 1e-3 and error.max() < 0.21
