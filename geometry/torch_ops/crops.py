"""Square crops of images, in operations that ONNX has."""

import torch
from torch import Tensor
from torch.nn import functional


def cut_squares(
    images: Tensor, centre: Tensor, side: Tensor, size: int, mode: str = "bilinear"
) -> Tensor:
    """Crops (N, C, size, size) of images; what lies outside is zero.

    Args:
        images: (N, C, H, H).
        centre: centres of the squares (N, 2), 0 to 1 across the image.
        side: their sides (N,), likewise.
        size: width and height of the crops in pixels.
        mode: `bilinear` or `nearest`.
    """
    steps = (torch.arange(size, device=side.device) + 0.5) / size - 0.5
    x, y = (centre[:, None] + steps[:, None] * side[:, None, None]).mul(2).sub(1).unbind(dim=-1)
    grid = torch.stack(
        [x[:, None].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)], dim=-1
    )
    return functional.grid_sample(images, grid, mode, align_corners=False)
