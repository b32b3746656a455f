"""The device that networks are trained on."""

import torch

from opendactyl.core.errors import InputError
from opendactyl.models.choices import ACCELERATORS


def check_accelerator(accelerator: str) -> None:
    """Checks a value of `ACCELERATORS`.

    Raises:
        InputError: another name, or `gpu` where torch finds none.
    """
    if accelerator not in ACCELERATORS:
        raise InputError(
            f"--accelerator is {accelerator!r}; it must be one of {', '.join(ACCELERATORS)}"
        )
    if accelerator == "gpu" and not torch.accelerator.is_available():
        raise InputError(
            "--accelerator is gpu; torch finds none on this machine (see `opendactyl doctor`); use "
            "auto or cpu"
        )


def training_device(accelerator: str) -> torch.device:
    """The device of `auto`, `cpu` or `gpu`; `auto` takes a GPU if it is one of CUDA.

    Raises:
        InputError: see `check_accelerator`.
    """
    check_accelerator(accelerator)
    found = torch.accelerator.current_accelerator(check_available=True)
    if found is None or accelerator == "cpu" or (accelerator == "auto" and found.type != "cuda"):
        return torch.device("cpu")
    return found
