"""`opendactyl doctor`: one line for each part, with its state or the remedy."""

import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from opendactyl.core.cpu import cores
from opendactyl.core.errors import ENVIRONMENT_STATUS, InputError
from opendactyl.core.mujoco_gl import BACKENDS, DISABLED, VARIABLE
from opendactyl.core.worker_process import (
    ENLARGE,
    SHARED_MEMORY,
    free_shared_memory,
    shared_memory_fault,
)
from opendactyl.render.opengl.backend import (
    HEADLESS,
    PROBE_SECONDS,
    Probe,
    device_remedy,
    forbidden_devices,
    probe,
    requested,
)

OK, WARN, FAIL = "ok", "--", "FAIL"
LOADER_BYTES = 64 * 2**20
"""Shared memory for one loader process with the default batches."""
NO_NVIDIA_EGL = (
    "there is an NVIDIA GPU, but EGL renders on the CPU: install the driver's EGL library "
    "(for a container, set NVIDIA_DRIVER_CAPABILITIES=all)"
)
_COUNT = """
import sys
from opendactyl.core.errors import OpenDactylError
from opendactyl.render.filament.vulkan import count_devices
try:
    devices = count_devices()
    from mujoco import mjrf
    print(f"uses Vulkan ({devices} device(s))")
except (OpenDactylError, ImportError) as error:
    sys.exit(str(error))
"""


def main(argv: list[str]) -> int:
    """Prints the findings; 3 if one of them is a failure, otherwise 0."""
    if argv:
        if argv[0] in ("-h", "--help"):
            print("usage: opendactyl doctor\n\n" + (__doc__ or ""))
            return 0
        raise InputError(f"doctor takes no options; {' '.join(argv)} was given")
    failed = False
    for status, part, detail in findings():
        failed |= status == FAIL
        print(f"{status:<5}{part:<19}{detail}")
    return ENVIRONMENT_STATUS if failed else 0


def findings() -> Iterator[tuple[str, str, str]]:
    """(status, part, detail) of each part."""
    yield OK, "python", f"{platform.python_version()} on {platform.platform()}"
    yield OK, "cores", f"{cores()}"
    yield _shared_memory()
    yield from _packages()
    yield from _graphics()
    yield _filament()
    yield _accelerator()
    yield _ray()


def _shared_memory() -> tuple[str, str, str]:
    part, fault, free = "shared memory", shared_memory_fault(), free_shared_memory()
    if fault:
        return WARN, part, f"{fault}; without, commands run in one process"
    if free < LOADER_BYTES:
        few = f"{free / 2**20:.0f} MiB free in {SHARED_MEMORY}; a loader process of train-vision"
        return WARN, part, f"{few} needs up to {LOADER_BYTES // 2**20} MiB: {ENLARGE}"
    return OK, part, f"{free / 2**20:.0f} MiB free"


def _packages() -> Iterator[tuple[str, str, str]]:
    for part, module, extra in (
        ("physics", "mujoco", "sim"),
        ("hand model", "gymnasium_robotics", "sim"),
        ("vision training", "lightning", "train"),
        ("policy training", "torchrl", "train"),
        ("videos", "av", "sim"),
        ("viewer", "viser", "sim"),
        ("run time", "onnxruntime", ""),
    ):
        if importlib.util.find_spec(module) is None:
            wanted = f"opendactyl[{extra}]" if extra else module
            yield FAIL, part, f'{module} is missing: pip install "{wanted}"'
        else:
            yield OK, part, module


def _graphics() -> Iterator[tuple[str, str, str]]:
    probes = {name: probe(name) for name in BACKENDS}
    for name, result in probes.items():
        yield (OK if result.ok else WARN), f"gl {name}", result.detail
    for device in forbidden_devices():
        yield WARN, "gpu", device_remedy(device)
    if Path("/dev/nvidiactl").exists() and probes["egl"].software:
        yield WARN, "gpu", NO_NVIDIA_EGL
    yield _classic(probes)


def _classic(probes: dict[str, Probe]) -> tuple[str, str, str]:
    """Which backend the classic renderer uses, as `backend.choose_backend` decides."""
    part = "classic renderer"
    try:
        name = requested()
    except InputError as error:
        return FAIL, part, str(error)
    if name in DISABLED:
        return WARN, part, f"{VARIABLE}={name} turns it off; unset it to render"
    works = [name for name in BACKENDS if probes[name].ok]
    if name and name not in works:
        remedy = f"unset it, or set it to {' or '.join(works)}" if works else "see above"
        return FAIL, part, f"{VARIABLE}={name} does not work here; {remedy}"
    chosen = name or next((name for name in HEADLESS if name in works), "")
    if not chosen:
        return FAIL, part, "no backend works without a display; see above"
    return OK, part, f"uses {chosen} ({'software' if probes[chosen].software else 'hardware'})"


def _filament() -> tuple[str, str, str]:
    """Tested in a subprocess, which a broken Vulkan driver may crash."""
    try:
        result = subprocess.run(
            [sys.executable, "-P", "-c", _COUNT],
            env=os.environ | {VARIABLE: DISABLED[0]},
            capture_output=True, text=True, check=False, timeout=PROBE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        hangs = f"no answer within {PROBE_SECONDS} s; the Vulkan driver hangs"
        return WARN, "filament renderer", hangs
    lines = (result.stdout or result.stderr).strip().splitlines()
    detail = lines[-1] if lines else f"the Vulkan driver crashed (status {result.returncode})"
    return (OK if result.returncode == 0 else WARN), "filament renderer", detail


def _accelerator() -> tuple[str, str, str]:
    try:
        import torch
    except ImportError:
        return FAIL, "accelerator", 'torch is missing: pip install "opendactyl[train]"'
    if torch.cuda.is_available():
        return OK, "accelerator", torch.cuda.get_device_name(0)
    return OK, "accelerator", f"none; CPU with {torch.backends.cpu.get_cpu_capability()}"


def _ray() -> tuple[str, str, str]:
    if importlib.util.find_spec("ray") is None:
        return WARN, "ray", 'not installed; clusters need it: pip install "opendactyl[cluster]"'
    return OK, "ray", "installed"
