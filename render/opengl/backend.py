"""The OpenGL backend of MuJoCo: probed in subprocesses and chosen before MuJoCo is imported.

MuJoCo reads `MUJOCO_GL` when it is imported and raises for an unknown value, so this module imports
neither MuJoCo nor anything that does.
"""

import ctypes.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.core.mujoco_gl import BACKENDS, DISABLED, VARIABLE, requested

HEADLESS = ("egl", "osmesa")
"""The backends to try, in this order, where MUJOCO_GL is not set."""
PACKAGES = "libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers"
EGL_DRIVERS = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
DEVICES = Path("/dev/dri")
PROBE_SECONDS = 120
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "softwarerasterizer")
_PROBED = "OPENDACTYL_GL_PROBED"
"""Environment variable: the backend that worked, so that child processes do not probe it again."""

_PROBE = """
import mujoco
from OpenGL import GL
context = mujoco.GLContext(64, 64)
context.make_current()
print(GL.glGetString(GL.GL_RENDERER).decode())
context.free()
"""


@dataclass(frozen=True)
class Probe:
    """The result of opening an OpenGL context with a backend."""

    name: str
    ok: bool
    detail: str
    """The renderer's name, or why it failed and the remedy."""

    @property
    def software(self) -> bool:
        """Whether the backend renders on the CPU."""
        return any(word in self.detail.lower() for word in SOFTWARE)


def probe(name: str) -> Probe:
    """Opens a context with one backend, in a subprocess: a broken driver may crash it."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=os.environ | {VARIABLE: name, "PYTHONSAFEPATH": "1"},
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Probe(name, False, f"no answer within {PROBE_SECONDS} s; the driver hangs")
    if result.returncode == 0:
        return Probe(name, True, result.stdout.strip().splitlines()[-1])
    return Probe(name, False, _remedy(name, result.stderr))


def forbidden_devices() -> list[Path]:
    """The GPUs' render nodes that this user may not open: rendering falls back to the CPU."""
    nodes = sorted(DEVICES.glob("renderD*"))
    return [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]


def device_remedy(device: Path) -> str:
    """How to get permission for a render node."""
    try:
        group = device.group()
    except (KeyError, OSError):
        group = "that owns it"
    return f"no permission for {device}: sudo usermod -aG {group} $USER, then log in again"


def _remedy(name: str, stderr: str) -> str:
    """The cause of a failure and its remedy, from the parts of the system that are missing."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else "it crashed without a message"
    if "No module named" in last:
        return f"{last}: run `make setup`"
    if name == "glfw" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display; not needed, since egl and osmesa render without one"
    library = {"egl": "EGL", "osmesa": "OSMesa", "glfw": "GL"}[name]
    if ctypes.util.find_library(library) is None:
        return f"lib{library} is not installed: apt-get install {PACKAGES}"
    if name == "egl" and not any(f for d in EGL_DRIVERS for f in Path(d).glob("*.json")):
        return "libEGL has no driver: apt-get install libegl-mesa0, or the GPU vendor's driver"
    if name == "egl" and forbidden_devices():
        return device_remedy(forbidden_devices()[0])
    return f"{last} (apt-get install {PACKAGES})"


def choose_backend() -> str:
    """Sets MUJOCO_GL to a backend that opens a context and returns its name.

    That is the backend that the variable names, otherwise the first of `HEADLESS` that works.

    Raises:
        InputError: MUJOCO_GL has an unknown value, or disables OpenGL.
        EnvironmentFailure: no context can be opened.
    """
    name = requested()
    if name in DISABLED:
        raise InputError(
            f"{VARIABLE} is {name!r}, but this command renders; unset it, or set it to one of "
            f"{', '.join(BACKENDS)}"
        )
    failures = []
    for candidate in (name,) if name else HEADLESS:
        if os.environ.get(_PROBED) != candidate:
            result = probe(candidate)
            if not result.ok:
                failures.append(f"{candidate}: {result.detail}")
                continue
        os.environ[VARIABLE] = os.environ[_PROBED] = candidate
        return candidate
    if name:
        raise EnvironmentFailure(
            f"{VARIABLE}={name} opens no OpenGL context ({failures[0].partition(': ')[2]}); "
            "unset it to try the other backends; `opendactyl doctor` says which work"
        )
    raise EnvironmentFailure(
        f"no OpenGL backend works ({'; '.join(failures)}); see `opendactyl doctor`"
    )
