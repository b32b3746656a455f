"""`opendactyl doctor`: one line per part, ok or the remedy."""

import importlib.util
import os
import platform
from collections.abc import Iterator
from pathlib import Path

from opendactyl.files.errors import InputError
from opendactyl.render.backend import BACKENDS, choose, probe

OK, WARN, FAIL = "ok", "--", "FAIL"
VULKAN_DRIVERS = ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d")


def main(argv: list[str]) -> int:
    """Prints the findings; 1 if the main job cannot run."""
    if argv:
        if argv[0] in ("-h", "--help"):
            print("usage: opendactyl doctor\n\n" + (__doc__ or ""))
            return 0
        raise InputError(f"doctor takes no options; {' '.join(argv)} was given")
    failed = False
    for status, part, detail in findings():
        failed |= status == FAIL
        print(f"{status:<5}{part:<18}{detail}")
    return int(failed)


def findings() -> Iterator[tuple[str, str, str]]:
    """(status, part, detail) of each part."""
    yield OK, "python", f"{platform.python_version()} on {platform.platform()}"
    yield OK, "cores", f"{len(os.sched_getaffinity(0))}"
    yield from _packages()
    yield from _graphics()
    yield _filament()
    yield _accelerator()
    yield _ray()


def _packages() -> Iterator[tuple[str, str, str]]:
    for part, module, extra in (
        ("physics", "mujoco", "sim"),
        ("hand model", "gymnasium_robotics", "sim"),
        ("vision training", "lightning", "train"),
        ("policy training", "torchrl", "train"),
        ("run time", "onnxruntime", "base"),
    ):
        if importlib.util.find_spec(module) is None:
            yield FAIL, part, f'{module} is missing: pip install "opendactyl[{extra}]"'
        else:
            yield OK, part, module


def _graphics() -> Iterator[tuple[str, str, str]]:
    probes = {name: probe(name) for name in BACKENDS}
    for name, result in probes.items():
        yield (OK if result.ok else WARN), f"gl {name}", result.detail
    try:
        chosen = choose()
    except InputError as error:
        yield FAIL, "classic renderer", str(error)
        return
    working = probes[chosen].ok
    kind = "software" if probes[chosen].software else "hardware"
    detail = f"uses {chosen} ({kind})" if working else f"MUJOCO_GL={chosen} does not work here"
    yield (OK if working else FAIL), "classic renderer", detail


def _filament() -> tuple[str, str, str]:
    drivers = [f for folder in VULKAN_DRIVERS for f in Path(folder).glob("*.json")]
    if not drivers:
        return WARN, "vulkan driver", "none found: apt-get install mesa-vulkan-drivers"
    return OK, "vulkan driver", ", ".join(sorted(d.stem for d in drivers)[:4])


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
