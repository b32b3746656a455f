"""The environment variable by which MuJoCo chooses its OpenGL backend.

MuJoCo reads it when it is imported, and raises for an unknown value.
"""

import os
import sys

from opendactyl.core.errors import InputError

VARIABLE = "MUJOCO_GL"
BACKENDS = ("egl", "osmesa", "glfw")
"""Values that render; `glfw` needs a display."""
DISABLED = ("disable", "disabled", "off", "false", "0")
"""Values with which MuJoCo loads no OpenGL."""


def requested() -> str:
    """The value of MUJOCO_GL in lower case and without spaces; empty if it is not set.

    Raises:
        InputError: the value is unknown.
    """
    value = os.environ.get(VARIABLE, "").strip().lower()
    if value and value not in BACKENDS + DISABLED:
        raise InputError(
            f"{VARIABLE} is {value!r}; it must be one of {', '.join(BACKENDS)}, or unset, "
            f"or {DISABLED[0]} for commands that render nothing"
        )
    return value


def disable(*, check: bool = True) -> None:
    """Lets MuJoCo load no OpenGL in this process and its children, for what renders nothing.

    Raises:
        InputError: MUJOCO_GL has an unknown value, and `check` is set.
    """
    if check:
        requested()
    if "mujoco" not in sys.modules:  # once imported, it has read the variable
        os.environ[VARIABLE] = DISABLED[0]
