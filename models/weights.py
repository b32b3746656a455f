"""Weights as safetensors, which ship beside the exported networks for further training."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from opendactyl.core.atomic_files import write_bytes
from opendactyl.core.errors import InputError, file_error

LARGE = 4096
"""Least size of tensors stored in half precision; batch statistics are smaller."""
ABOUT = "about"
"""Metadata key of the JSON that describes the weights."""


def save_weights(weights: dict[str, Tensor], path: Path, about: dict[str, Any]) -> None:
    """Writes a state dict atomically, with a description of its origin."""
    stored = {
        name: value.half() if value.is_floating_point() and value.numel() >= LARGE else value
        for name, value in weights.items()
    }
    tensors = {name: value.contiguous() for name, value in stored.items()}
    write_bytes(path, save(tensors, {ABOUT: json.dumps(about)}))


def save_checkpoint(value: dict[str, Any], path: Path) -> None:
    """Writes a file for `torch.load` atomically."""
    # Serialised in memory first: on a full disk, torch's writer fails with other errors.
    buffer = io.BytesIO()
    torch.save(value, buffer)
    write_bytes(path, buffer.getvalue())


def load_weights(path: Path) -> dict[str, Tensor]:
    """Reads a state dict in single precision, from safetensors or a file of `torch.save`.

    Only tensors are read: the file may be untrusted.

    Raises:
        InputError: the file is missing or holds no weights.
        EnvironmentFailure: the disk failed.
    """
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        return {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    except OSError as error:
        raise file_error(f"cannot read weights from {path}", error) from error
    except Exception as error:
        raise InputError(f"{path} holds no weights ({error})") from error


def about_weights(path: Path) -> dict[str, Any]:
    """The description that `save_weights` stored; empty for files from elsewhere.

    Raises:
        InputError: the file is missing or holds no weights.
        EnvironmentFailure: the disk failed.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
    except OSError as error:
        raise file_error(f"cannot read weights from {path}", error) from error
    except Exception as error:
        raise InputError(f"{path} holds no weights ({error})") from error
    return about if isinstance(about, dict) else {}
