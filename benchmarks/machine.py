"""What a figure was measured on."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from opendactyl.core.cpu import cores

_PACKAGES = (
    "opendactyl", "numpy", "mujoco", "torch", "torchrl", "lightning", "onnxruntime",
    "gymnasium-robotics", "stable-baselines3", "sb3-contrib",
)  # fmt: skip


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, accelerator, software versions, and what else kept it busy."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "accelerator": _accelerator(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "mujoco_gl": os.environ.get("MUJOCO_GL", ""),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


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
