"""The augmentation of whole batches on the device that trains, for GPUs that a loader cannot feed.

The same transforms with the same ranges as `Augmentation`, by other software, so that single
images differ. No transform moves pixels.
"""

import kornia.augmentation as K
import torch
from kornia.color import CFA, raw_to_rgb, rgb_to_raw
from torch import Tensor
from torch.nn import functional

from opendactyl.datasets.loading.augmentation_config import GAMMA, AugmentConfig, Range

BLUR_SIGMA = (0.5, 3.0)
"""Standard deviation of the blur in pixels, that of Albumentations; the kernel is 3 pixels wide."""


class DeviceAugmentation:
    """Augments batches, each view of each sample by itself."""

    def __init__(self, config: AugmentConfig, seed: int) -> None:
        """Builds the pipeline; all random numbers follow from `seed` and the number of a batch."""
        self._config, self._seed = config, seed
        # Kornia applies its transforms to each image with the given probability.
        self._camera = K.AugmentationSequential(
            K.ColorJitter(
                config.brightness, config.contrast, config.saturation, config.hue / 360,
                p=config.colours,
            ),
            K.RandomPlanckianJitter(p=config.white_balance),
            K.RandomGaussianBlur((3, 3), BLUR_SIGMA, p=config.blur),
        )  # fmt: skip
        first, last = (round(x) for x in config.motion_blur_length)
        # All images of a batch that move do so by the same length, in directions of their own.
        self._motion = K.RandomMotionBlur(
            (first, last), 180.0, 0.0, border_type="reflect", resample="bilinear",
            p=config.motion_blur,
        )  # fmt: skip
        self._compression = K.RandomJPEG(config.jpeg_quality, p=config.jpeg)

    @torch.no_grad()
    def __call__(self, images: Tensor, number: int, masks: Tensor | None = None) -> Tensor:
        """Augments images uint8 (B, V, H, W, 3).

        Args:
            images: the views of a batch.
            number: that of the batch: equal ones give equal random numbers.
            masks: classes uint8 (B, V, H, W) of the pixels; 0 is background.
        """
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(hash((self._seed, number)) % 2**63)
            pixels = images.flatten(0, 1).permute(0, 3, 1, 2).float() / 255
            if masks is not None:
                pixels = self._with_backgrounds(pixels, masks.flatten(0, 1) == 0)
            pixels = self._with_patches(pixels, images.shape[1])
            pixels = self._camera(self._with_rectangles(pixels))
            pixels = self._exposed(self._motion(self._defocused(pixels)))
            pixels = self._mosaicked(self._with_noise(pixels).clamp(0, 1))
            pixels = self._compression(pixels)
        augmented = (pixels * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
        return augmented.unflatten(0, images.shape[:2]).contiguous()

    def _with_backgrounds(self, images: Tensor, background: Tensor) -> Tensor:
        """Coarse random patterns, smooth or of blocks."""
        count, _, *size = images.shape
        cells = torch.rand(count, 3, *torch.randint(2, 9, (2,)).tolist(), device=images.device)
        smooth = functional.interpolate(cells, size, mode="bicubic").clamp(0, 1)
        pattern = functional.interpolate(cells, size)
        pattern = torch.where(_chosen(images, 0.7), smooth, pattern)
        replaced = background[:, None] & _chosen(images, self._config.background)
        return torch.where(replaced, pattern, images)

    def _with_patches(self, images: Tensor, views: int) -> Tensor:
        """A part of each image is covered by a part of a view of the same sample."""
        count, _, height, width = images.shape
        device = images.device
        sample = torch.arange(count, device=device) // views * views
        source = sample + torch.randint(views, (count,), device=device)
        inside, rows, columns = _rectangles(images, self._config.patch, 1)
        y, x = (_moved(size, edge[:, 0]) for size, edge in ((height, rows), (width, columns)))
        part = images[source[:, None, None], :, y[:, :, None], x[:, None]]
        covered = inside[:, 0, None] & _chosen(images, self._config.occluder)
        return torch.where(covered, part.permute(0, 3, 1, 2), images)

    def _with_rectangles(self, images: Tensor) -> Tensor:
        """Rectangles of one colour each."""
        first, last = (round(x) for x in self._config.rectangles)
        inside, _, _ = _rectangles(images, self._config.rectangle, last)
        count = torch.randint(first, last + 1, (len(images), 1), device=images.device)
        chosen = _chosen(images, self._config.occluder)
        for number in range(last):
            colour = torch.rand(len(images), 3, 1, 1, device=images.device)
            covered = inside[:, number, None] & (number < count)[..., None, None] & chosen
            images = torch.where(covered, colour, images)
        return images

    def _defocused(self, images: Tensor) -> Tensor:
        """Points become discs."""
        if not self._config.defocus:
            return images
        count, colours = images.shape[:2]
        low, high = self._config.defocus_radius
        radius = low + (high - low) * torch.rand(count, 1, 1, device=images.device)
        reach = round(high)
        place = torch.arange(-reach, reach + 1, device=images.device).float()
        disc = (radius + 0.5 - torch.hypot(place[:, None], place)).clamp(0, 1)
        disc = disc / disc.sum(dim=(1, 2), keepdim=True)
        padded = functional.pad(images, [reach] * 4, mode="reflect").flatten(0, 1)
        kernels = disc.repeat_interleave(colours, dim=0)[:, None]
        blurred = functional.conv2d(padded[None], kernels, groups=count * colours)
        return torch.where(_chosen(images, self._config.defocus), blurred.view_as(images), images)

    def _exposed(self, images: Tensor) -> Tensor:
        if not self._config.exposure:
            return images
        more = 2 * torch.rand(len(images), 1, 1, 1, device=images.device) - 1
        stops = self._config.stops * more
        exposed = (images * 2 ** (stops / GAMMA)).clamp(0, 1)
        return torch.where(_chosen(images, self._config.exposure), exposed, images)

    def _mosaicked(self, images: Tensor) -> Tensor:
        """A colour of each pixel is kept, the rest interpolated; one mosaic for the batch."""
        if not self._config.demosaicing:
            return images
        height, width = images.shape[2:]
        mosaic = tuple(CFA)[int(torch.randint(len(CFA), ()))]
        even = functional.pad(images, (0, width % 2, 0, height % 2), mode="replicate")
        interpolated = raw_to_rgb(rgb_to_raw(even, mosaic), mosaic)[..., :height, :width]
        return torch.where(_chosen(images, self._config.demosaicing), interpolated, images)

    def _with_noise(self, images: Tensor) -> Tensor:
        low, high = self._config.noise
        deviation = low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device)
        noisy = images + deviation * torch.randn_like(images)
        return torch.where(_chosen(images, self._config.noisy), noisy, images)


def _chosen(images: Tensor, probability: float) -> Tensor:
    """Whether an effect is applied to each image (N, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, device=images.device) < probability


def _below(limits: Tensor) -> Tensor:
    """Random integers from zero to the limits, inclusive."""
    return (torch.rand(limits.shape, device=limits.device) * (limits + 1)).long().minimum(limits)


def _moved(size: int, edge: Tensor) -> Tensor:
    """Indices (N, size) by which a part that begins elsewhere, at random, comes to lie at an edge.

    Args:
        size: number of rows or columns.
        edge: first index and length (N, 2) of the part.
    """
    first, length = edge.unbind(dim=-1)
    moved = torch.arange(size, device=edge.device) + (_below(size - length) - first)[:, None]
    return moved.clamp(0, size - 1)


def _rectangles(images: Tensor, sides: Range, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random rectangles, whose sides are fractions of the image's.

    Returns:
        Their pixels (N, number, H, W); first row and number of rows (N, number, 2); the same for
        the columns.
    """
    shape, device = (len(images), number), images.device
    spans, edges = [], []
    for size in images.shape[2:]:
        fraction = torch.empty(shape, device=device).uniform_(*sides)
        length = (fraction * size).long().clamp_min(1)
        first = _below(size - length)
        place = torch.arange(size, device=device) - first[..., None]
        spans.append((place >= 0) & (place < length[..., None]))
        edges.append(torch.stack([first, length], dim=-1))
    inside = spans[0][..., :, None] & spans[1][..., None, :]
    return inside, edges[0], edges[1]
