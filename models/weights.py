"""Weights as safetensors: what ships beside the exported networks, to go on training from."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.errors import InputError

LARGE = 4096
"""Tensors of at least so many numbers are stored in half precision; statistics stay exact."""
ABOUT = "about"
"""The key of the file's metadata that holds what is to be known of the weights."""


def save_weights(weights: dict[str, Tensor], path: Path, about: dict[str, Any]) -> None:
    """Writes a state dict, complete or not at all, and what is to be known of it."""
    stored = {
        name: value.half() if value.is_floating_point() and value.numel() >= LARGE else value
        for name, value in weights.items()
    }
    tensors = {name: value.contiguous() for name, value in stored.items()}
    write_bytes(path, save(tensors, {ABOUT: json.dumps(about)}))


def save_checkpoint(value: dict[str, Any], path: Path) -> None:
    """Writes what `torch.load` reads again, complete or not at all."""
    # Through memory: a full disk makes the writer of torch's archive fail in ways of its own.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def load_weights(path: Path) -> dict[str, Tensor]:
    """A state dict in single precision, from safetensors or a file of `torch.save`.

    Only tensors are read from either: weights may come from strangers.

    Raises:
        InputError: the file is missing or holds no weights.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        return {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    except Exception as error:
        raise InputError(f"{path} holds no weights ({error})") from error


def about_weights(path: Path) -> dict[str, Any]:
    """What `save_weights` was told of a file's weights; nothing for files of other makers.

    Raises:
        InputError: the file is missing or holds no weights.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    except Exception as error:
        raise InputError(f"{path} holds no weights ({error})") from error
    return about if isinstance(about, dict) else {}
