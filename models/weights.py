"""Weights as safetensors: what ships beside the exported networks, to go on training from."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

LARGE = 4096
"""Tensors of at least so many numbers are stored in half precision; statistics stay exact."""


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Writes a state dict, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    stored = {
        name: value.half() if value.is_floating_point() and value.numel() >= LARGE else value
        for name, value in weights.items()
    }
    save_file({name: value.contiguous() for name, value in stored.items()}, temporary)
    temporary.chmod(0o644)
    temporary.replace(path)


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict in single precision, from safetensors or a file of `torch.save`.

    Only tensors are read from either: weights may come from strangers.

    Raises:
        ValueError: the file is missing or holds no weights.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        return {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    except Exception as error:
        raise ValueError(f"{path} holds no weights ({error})") from error
