"""Effects of a camera's sensor that Albumentations lacks; none moves pixels."""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from opendactyl.datasets.loading.augmentation_config import GAMMA

MOSAICS = {
    (0, 0): cv2.COLOR_BayerRGGB2RGB,
    (0, 1): cv2.COLOR_BayerGRBG2RGB,
    (1, 0): cv2.COLOR_BayerGBRG2RGB,
    (1, 1): cv2.COLOR_BayerBGGR2RGB,
}
"""OpenCV's interpolation by the row and the column of the first red pixel."""


class Exposure(A.ImageOnlyTransform):
    """Multiplies the light, and loses what is brighter than white."""

    def __init__(self, stops: float, p: float) -> None:
        """Stores the largest number of stops, more or less; one stop is a factor of two."""
        super().__init__(p=p)
        self._stops = stops

    def get_params(self) -> dict[str, Any]:
        """Draws the factor of a picture's values."""
        return {"factor": 2 ** (self.py_random.uniform(-self._stops, self._stops) / GAMMA)}

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Applies it to an image (H, W, 3)."""
        return cv2.convertScaleAbs(img, alpha=params["factor"]).astype(np.uint8)


class Demosaicing(A.ImageOnlyTransform):
    """Keeps one colour of each pixel, as a mosaic of filters does, and interpolates the others."""

    def get_params(self) -> dict[str, Any]:
        """Draws the place of the mosaic's first red pixel."""
        return {"red": (self.py_random.randrange(2), self.py_random.randrange(2))}

    def apply(self, img: NDArray[np.uint8], **params: Any) -> NDArray[np.uint8]:
        """Applies it to an image (H, W, 3)."""
        row, column = params["red"]
        mosaic = img[..., 1].copy()
        mosaic[row::2, column::2] = img[row::2, column::2, 0]
        mosaic[1 - row :: 2, 1 - column :: 2] = img[1 - row :: 2, 1 - column :: 2, 2]
        return cv2.cvtColor(mosaic, MOSAICS[params["red"]]).astype(np.uint8)
