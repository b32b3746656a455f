"""Description of the machine that figures were measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from opendactyl.core.cpu import cores

_CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTION_SETS = {
    "AMX bf16": "amx_bf16",
    "AVX-512 bf16": "avx512_bf16",
    "AVX-512": "avx512f",
    "AVX2": "avx2",
    "SVE": "sve",
    "NEON": "asimd",
}
"""Linux's flags of instruction sets, from the widest to the narrowest."""
_PACKAGES = (
    "opendactyl", "numpy", "mujoco", "torch", "torchrl", "lightning", "onnxruntime",
    "gymnasium-robotics", "stable-baselines3", "sb3-contrib",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator, software versions, and the load at the start."""
    return {
        "processor": _cpuinfo("model name") or platform.processor(),
        "instruction_set": instruction_set(),
        "cores": cores(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "accelerator": _accelerator(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mujoco_gl": os.environ.get("MUJOCO_GL", ""),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def instruction_set() -> str:
    """The widest vector or matrix extension of the processor, on which speed depends."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    names = (name for name, flag in _INSTRUCTION_SETS.items() if flag in flags)
    return next(names, platform.machine())


def _cpuinfo(key: str) -> str:
    """The first value of a key in Linux's list of processors; empty without one."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
