"""Choice of floating-point precision: bf16 only where the processor multiplies it natively."""

import os
from pathlib import Path

import torch


def cpu_multiplies_bf16() -> bool:
    """Whether this CPU multiplies bf16 natively; otherwise autocast is slower."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    native = os.name == "posix" and ("avx512_bf16" in flags or "amx_bf16" in flags)
    return native and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def use_bf16(precision: str) -> bool:
    """Whether a value of `choices.PRECISIONS` means bf16 on this CPU."""
    return precision == "bf16-mixed" or (precision == "auto" and cpu_multiplies_bf16())
