"""A plot of poses over time; needs matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from opendactyl.control.estimation.results import Estimate
from opendactyl.core.atomic_files import write_bytes
from opendactyl.geometry.rotation import quat_conjugate, quat_multiply, quat_to_rotvec

PLOT_FILE = "poses.png"
COLOURS = ("tab:red", "tab:green", "tab:blue")


def write_plot(path: Path, estimates: Sequence[Estimate]) -> bool:
    """Draws positions, and rotations relative to the first, with one standard deviation.

    Returns:
        Whether matplotlib is installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    timed = all(estimate.seconds is not None for estimate in estimates)
    times = [e.seconds if timed else number for number, e in enumerate(estimates)]
    quaternions = np.stack([e.pose.quaternion for e in estimates])
    # On the left: rotation vectors in the frame of the poses, as the covariance's.
    relative = quat_multiply(quaternions, quat_conjugate(quaternions[:1]))
    std = np.sqrt(np.stack([np.diag(e.pose.covariance) for e in estimates]))
    panels = (
        ("position (mm)", 1000 * np.stack([e.pose.position for e in estimates]), 1000 * std[:, :3]),
        (
            "rotation from the first (°)",
            np.rad2deg(quat_to_rotvec(relative)),
            np.rad2deg(std[:, 3:]),
        ),
    )
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (title, values, spread) in zip(
        figure.subplots(2, 1, sharex=True), panels, strict=True
    ):
        for number, (name, colour) in enumerate(zip("xyz", COLOURS, strict=True)):
            middle, width = values[:, number], spread[:, number]
            axes.plot(times, middle, color=colour, label=name)
            axes.fill_between(times, middle - width, middle + width, color=colour, alpha=0.2)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    axes.set_xlabel("time (s)" if timed else "frame")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_bytes(path, buffer.getvalue())
    return True
