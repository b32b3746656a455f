"""Drawing of a rig: each camera's view with the working volume and the region of interest."""

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from opendactyl.geometry.camera import Camera
from opendactyl.geometry.camera_faults import camera_fault, likely_mistake
from opendactyl.geometry.drawing import AXIS_LENGTH, RED_GREEN_BLUE, Colour
from opendactyl.geometry.rig import Rig
from opendactyl.geometry.rotation import Array
from opendactyl.geometry.working_volume import NEAREST, region_of, volume_view

PANEL = 480
"""Longest side of a drawn view in pixels."""
BORDER, LINE_HEIGHT, LINES, TEXT_WIDTH = 28, 18, 4, 400
BACKGROUND, VIEW, FRAME = (24, 26, 30), (44, 48, 56), (120, 126, 138)
TEXT, VOLUME, REGION = (230, 232, 236), (255, 196, 61), (88, 214, 232)


def describe_camera(camera: Camera, corners: ArrayLike) -> tuple[str, str, str]:
    """Three lines about a camera: its view, the working volume in it, its region of interest."""
    view = volume_view(camera, corners)
    roi, chosen = region_of(camera, corners)
    fault = camera_fault(camera, corners, "the volume")
    mistake = likely_mistake(camera, corners) if fault else ""
    seen = fault or f"sees {'all' if view.visibility == 'all' else 'a part'} of the volume"
    seen += f", and would see it if {mistake}" if mistake else ""
    lens = camera.distortion.model if camera.distortion else "no distortion"
    region = f"roi = {list(roi)}{' (automatic)' if chosen else ''}" if roi else "no roi"
    return (
        f"{camera.name}: {camera.width}×{camera.height}, {lens}",
        f"{seen}; {view.pixels_per_mm:.2f} pixels/mm at its centre",
        region,
    )


def draw_rig(rig: Rig, corners: ArrayLike) -> Image.Image:
    """Draws the views of a rig in rows of up to three.

    Args:
        rig: the rig.
        corners: corners (8, 3) of the working volume in the hand frame, in metres, in the order of
            `working_volume.box_corners`.
    """
    panels = [_panel(camera, np.asarray(corners, dtype=np.float64)) for camera in rig.cameras]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    width, height = (max(panel.size[axis] for panel in panels) for axis in (0, 1))
    sheet = Image.new("RGB", (columns * width, rows * height), BACKGROUND)
    for number, panel in enumerate(panels):
        sheet.paste(panel, (number % columns * width, number // columns * height))
    return sheet


def _panel(camera: Camera, corners: Array) -> Image.Image:
    roi, _ = region_of(camera, corners)
    left, top, width, height = roi or (0, 0, camera.width, camera.height)
    low = np.minimum([0, 0], [left, top])
    high = np.maximum([camera.width, camera.height], [left + width, top + height])
    scale = PANEL / (high - low).max()
    wide, tall = (int(side) + 2 * BORDER for side in np.rint((high - low) * scale))
    panel = Image.new("RGB", (max(wide, TEXT_WIDTH), tall + LINES * LINE_HEIGHT), BACKGROUND)
    canvas = ImageDraw.Draw(panel)

    def place(pixels: ArrayLike) -> list[tuple[float, float]]:
        # Clipped, since points near the camera's plane project to huge coordinates.
        placed = np.clip((np.asarray(pixels) - low) * scale + BORDER, -1e4, 1e4)
        return [(float(x), float(y)) for x, y in placed]

    canvas.rectangle(place([(0, 0), (camera.width, camera.height)]), fill=VIEW, outline=FRAME)
    for segment, colour in _segments(corners):
        pixels, depth = camera.project(segment)
        visible = depth > NEAREST
        for first in np.flatnonzero(visible[:-1] & visible[1:]):
            canvas.line(place(pixels[first : first + 2]), fill=colour, width=2)
    if roi is not None:
        corner = [(left, top), (left + width, top + height)]
        canvas.rectangle(place(corner), outline=REGION, width=2)
    font = ImageFont.load_default(13)
    for number, text in enumerate(describe_camera(camera, corners)):
        at = (BORDER, tall + number * LINE_HEIGHT)
        # Pillow's own font has no multiplication sign.
        canvas.text(at, text.replace("×", "x"), fill=(TEXT, VOLUME, REGION)[number], font=font)
    return panel


def _segments(corners: Array) -> list[tuple[Array, Colour]]:
    """Points (N, 3) along the volume's edges and the axes of the hand frame, with colours."""
    ends = [(corners[i], corners[i | bit], VOLUME) for bit in (1, 2, 4) for i in range(8)
            if not i & bit]  # fmt: skip
    axes = zip(np.eye(3) * AXIS_LENGTH, RED_GREEN_BLUE, strict=True)
    ends += [(np.zeros(3), end, colour) for end, colour in axes]
    return [(np.linspace(start, end, 33), colour) for start, end, colour in ends]
