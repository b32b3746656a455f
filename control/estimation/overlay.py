"""Pictures of raw frames with the estimated pose drawn in each view."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from opendactyl.control.bundle.load import PoseBundle
from opendactyl.control.bundle.manifest import articulation_of
from opendactyl.control.estimation.results import Estimate
from opendactyl.control.estimation.wireframe import convex_edges
from opendactyl.core.errors import InputError
from opendactyl.geometry.articulation import Articulation
from opendactyl.geometry.camera import Camera
from opendactyl.geometry.drawing import AXIS_LENGTH, RED_GREEN_BLUE, Colour
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.transforms import pose_matrix, transform_points

HEIGHT = 480
"""Largest height of a view in pixels."""
COLUMNS = 3
WIREFRAME: Colour = (255, 196, 61)
_POINTS = 17
"""Points on a line: lenses bend it."""


class Overlay:
    """Draws the object's wireframe and axes."""

    def __init__(self, bundle: PoseBundle) -> None:
        """Takes the object's shape from a bundle; without one, only the axes are drawn."""
        articulation = articulation_of(bundle.manifest) or _shipped_articulation(bundle)
        self._hinges = articulation.hinges if articulation else ()
        bodies = _bodies(articulation) if articulation else []
        axes = zip(np.eye(3) * AXIS_LENGTH, RED_GREEN_BLUE, strict=True)
        self._axes = [(_line(np.zeros(3), end), colour) for end, colour in axes]
        self._outlines = [[_line(*edge) for edge in convex_edges(points)] for points in bodies]
        """Lines of the object's body, and of the part of each hinge, at angle zero."""

    def draw(
        self,
        frames: Sequence[NDArray[np.uint8]],
        cameras: Sequence[Camera],
        estimate: Estimate,
    ) -> Image.Image:
        """A picture of all views, in rows of up to three.

        Args:
            frames: raw frames.
            cameras: the cameras of the raw frames.
            estimate: the estimate to draw.
        """
        pose = pose_matrix(estimate.pose.position, estimate.pose.quaternion)
        lines = self._lines(estimate.pose.hinges)
        panels = []
        for frame, camera in zip(frames, cameras, strict=True):
            panel = self._panel(frame, camera, pose, lines)
            residual = estimate.residuals.get(camera.name)
            text = camera.name if residual is None else f"{camera.name}  {residual:.1f} px"
            ImageDraw.Draw(panel).text(
                (6, 4), text, "white", font_size=14, stroke_width=2, stroke_fill="black"
            )
            panels.append(panel)
        return _sheet(panels)

    def _lines(self, angles: Array | None) -> list[tuple[Array, Colour]]:
        """Points (N, 3) of each line in the object frame, and its colour."""
        angles = np.array([hinge.rest for hinge in self._hinges]) if angles is None else angles
        moved = [np.eye(4), *(h.pose(a) for h, a in zip(self._hinges, angles, strict=True))]
        outline = [
            (transform_points(motion, line), WIREFRAME)
            for motion, lines in zip(moved, self._outlines, strict=False)
            for line in lines
        ]
        return outline + self._axes

    def _panel(
        self,
        frame: NDArray[np.uint8],
        camera: Camera,
        pose: Array,
        lines: list[tuple[Array, Colour]],
    ) -> Image.Image:
        scale = min(1.0, HEIGHT / camera.height)
        size = (max(1, round(camera.width * scale)), max(1, round(camera.height * scale)))
        panel = Image.fromarray(frame).resize(size, Image.Resampling.BOX)
        canvas = ImageDraw.Draw(panel)
        for line, colour in lines:
            pixels, visible = _raw_pixels(camera, transform_points(pose, line))
            placed = np.clip(pixels * scale, -1e4, 1e4)
            for i in np.flatnonzero(visible[:-1] & visible[1:]):
                ends = [(float(x), float(y)) for x, y in placed[i : i + 2]]
                canvas.line(ends, fill=colour, width=2)
        return panel


def _line(start: Array, end: Array) -> Array:
    return np.linspace(start, end, _POINTS)


def _bodies(articulation: Articulation) -> list[Array]:
    """The keypoints (K, 3) of the body, and of the part of each hinge, at angle zero."""
    ranges = [articulation.own, *(slice(*hinge.keypoints) for hinge in articulation.hinges)]
    return [articulation.points[chosen] for chosen in ranges]


def _shipped_articulation(bundle: PoseBundle) -> Articulation | None:
    """The keypoints of the shipped object that a bundle without keypoints names."""
    try:
        # Loading the objects needs more than the base install.
        from opendactyl.sim.objects.shipped import object_spec

        return object_spec(bundle.object).articulation
    except (InputError, ImportError):
        return None


def _raw_pixels(camera: Camera, points: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
    """Raw pixels (N, 2) of points (N, 3), and whether the lens may see them (N,)."""
    pixels, depth = camera.project(points)
    with np.errstate(all="ignore"):
        radius = np.linalg.norm((pixels - camera.K[:2, 2]) / np.diag(camera.K)[:2], axis=-1)
        raw = camera.distorted(pixels)
    visible = (depth > 1e-3) & (radius <= camera.distortion.max_radius) & np.isfinite(raw).all(-1)
    return np.nan_to_num(raw), visible


def _sheet(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels side by side; width and height are even, which videos need."""
    columns = min(len(panels), COLUMNS)
    width, height = (max(panel.size[axis] for panel in panels) for axis in (0, 1))
    rows = -(-len(panels) // columns)
    size = (columns * width, rows * height)
    sheet = Image.new("RGB", (size[0] + size[0] % 2, size[1] + size[1] % 2))
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number % columns * width, number // columns * height))
    return sheet
