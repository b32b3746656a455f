"""Which OpenGL backend MuJoCo uses: tried in processes of their own, chosen before the import.

MuJoCo reads `MUJOCO_GL` when it is imported and raises nothing for a wrong value, so this module
imports neither MuJoCo nor anything that does.
"""

import ctypes.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from opendactyl.core.errors import InputError

BACKENDS = ("egl", "osmesa", "glfw")
"""Valid values of MUJOCO_GL, in the order they are tried; `glfw` needs a display."""
PACKAGES = "libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers"
EGL_DRIVERS = ("/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
DEVICES = Path("/dev/dri")
PROBE_SECONDS = 120
SOFTWARE = ("llvmpipe", "softpipe", "swrast", "softwarerasterizer")

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
    """What trying a backend brought."""

    name: str
    ok: bool
    detail: str
    """The renderer's name, or why it failed and the remedy."""

    @property
    def software(self) -> bool:
        """Whether the backend draws on the CPU."""
        return any(word in self.detail.lower() for word in SOFTWARE)


def probe(name: str) -> Probe:
    """Tries one backend in a process of its own."""
    try:
        result = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=os.environ | {"MUJOCO_GL": name, "PYTHONSAFEPATH": "1"},
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
    """The GPUs' render nodes that this user may not open: drawing falls back to the CPU."""
    nodes = sorted(DEVICES.glob("renderD*"))
    return [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]


def device_remedy(device: Path) -> str:
    """How to get the permission for a render node."""
    try:
        group = device.group()
    except (KeyError, OSError):
        group = "that owns it"
    return f"no permission for {device}: sudo usermod -aG {group} $USER, then log in again"


def _remedy(name: str, stderr: str) -> str:
    """Why a backend failed and what to do, from what is missing."""
    last = stderr.strip().splitlines()[-1] if stderr.strip() else "it crashed without a message"
    if "No module named" in last:
        return f"{last}: run `make setup`"
    if name == "glfw" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display; not needed, since egl and osmesa draw without one"
    library = {"egl": "EGL", "osmesa": "OSMesa", "glfw": "GL"}[name]
    if ctypes.util.find_library(library) is None:
        return f"lib{library} is not installed: apt-get install {PACKAGES}"
    if name == "egl" and not any(f for d in EGL_DRIVERS for f in Path(d).glob("*.json")):
        return "libEGL has no driver: apt-get install libegl-mesa0, or the GPU maker's driver"
    if name == "egl" and forbidden_devices():
        return device_remedy(forbidden_devices()[0])
    return f"{last} (apt-get install {PACKAGES})"


def choose() -> str:
    """Sets MUJOCO_GL to the first backend that works, unless it is set; returns its name.

    Raises:
        InputError: MUJOCO_GL has an unknown value, or no backend works.
    """
    given = os.environ.get("MUJOCO_GL", "").lower()
    if given:
        if given not in BACKENDS:
            raise InputError(
                f"MUJOCO_GL is {given!r}; it must be one of {', '.join(BACKENDS)}, or unset"
            )
        return given
    tried = []
    for name in ("egl", "osmesa"):
        result = probe(name)
        if result.ok:
            os.environ["MUJOCO_GL"] = name
            return name
        tried.append(f"{name}: {result.detail}")
    raise InputError(f"no OpenGL backend works ({'; '.join(tried)}); see `opendactyl doctor`")
