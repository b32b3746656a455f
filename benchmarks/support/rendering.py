"""What benchmarks of rendering share: states and appearances, and the similarity of images."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from opendactyl.geometry.rig import Rig
from opendactyl.render.appearance.config import PRESETS, Appearance
from opendactyl.render.appearance.sampling import sample_appearance
from opendactyl.sim.initial_states import settled_state
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scene import load_scene
from opendactyl.sim.state import State

Images = NDArray[np.uint8]
Sample = tuple[State, Appearance]


def draw_samples(rig: Rig, count: int) -> list[Sample]:
    """Settled states with appearances of the preset `dactyl`."""
    scene, obj = load_scene("block"), object_spec("block")
    rngs = [np.random.default_rng([0, number]) for number in range(count)]
    views = len(rig.cameras)
    return [
        (
            settled_state(scene, rng),
            sample_appearance(rng, PRESETS["dactyl"], views=views, obj=obj),
        )
        for rng in rngs
    ]


def psnr(images: Images, reference: Images) -> float:
    """Peak signal-to-noise ratio in dB over images (..., H, W, 3); infinite when they are equal."""
    error = np.mean((images.astype(np.float64) - reference) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255.0**2 / error))


def ssim(images: Images, reference: Images) -> float:
    """Mean structural similarity of images (..., H, W, 3), in [-1, 1].

    Wang et al. 2004 with its constants: an 11×11 Gaussian window of deviation 1.5, on each channel.
    """
    a, b = images.astype(np.float64), reference.astype(np.float64)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = _window(a), _window(b)
    var_a = _window(a * a) - mean_a**2
    var_b = _window(b * b) - mean_b**2
    cov = _window(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    denominator = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(np.mean(numerator / denominator))


def _window(x: NDArray[np.float64]) -> NDArray[np.float64]:
    sigma = [0.0] * (x.ndim - 3) + [1.5, 1.5, 0.0]
    return gaussian_filter(x, sigma, radius=[0] * (x.ndim - 3) + [5, 5, 0])
