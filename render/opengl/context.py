"""OpenGL contexts of MuJoCo's renderer, and the driver behind them."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
from mujoco.rendering.classic import gl_context

from opendactyl.core.errors import EnvironmentFailure
from opendactyl.core.mujoco_gl import BACKENDS, VARIABLE


def gl_driver() -> dict[str, str]:
    """Vendor, renderer and version of the OpenGL driver.

    Raises:
        EnvironmentFailure: no OpenGL context can be opened.
    """
    from OpenGL import GL

    names = {"gl_vendor": GL.GL_VENDOR, "gl_renderer": GL.GL_RENDERER, "gl_version": GL.GL_VERSION}
    with _context_errors():
        gl = gl_context.GLContext(16, 16)
        gl.make_current()
        found = {key: GL.glGetString(name) or b"unknown" for key, name in names.items()}
    gl.free()
    return {key: str(text, "ascii", "replace") for key, text in found.items()}


def open_context(model: mujoco.MjModel, width: int, height: int) -> tuple[Any, mujoco.MjrContext]:
    """Opens an OpenGL context and MuJoCo's rendering context in it, for a framebuffer in pixels.

    Raises:
        EnvironmentFailure: no OpenGL context can be opened.
    """
    with _context_errors():
        gl = gl_context.GLContext(width, height)
        gl.make_current()
        return gl, mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)


@contextmanager
def _context_errors() -> Iterator[None]:
    """Raises any error of the block as an `EnvironmentFailure`."""
    with warnings.catch_warnings(record=True) as reported:  # GLFW reports its errors as warnings
        warnings.simplefilter("always")
        try:
            yield
        except Exception as error:
            backend = os.environ.get(VARIABLE, "")
            if backend in BACKENDS and bound_backend() != backend:
                raise EnvironmentFailure(
                    f"MuJoCo was imported before {VARIABLE} was set to {backend}; call "
                    "opendactyl.render.choose_backend() before anything imports MuJoCo, or set "
                    f"{VARIABLE}={backend} for the whole process"
                ) from error
            reason = reported[0].message if reported else error
            raise EnvironmentFailure(
                f"{VARIABLE}={backend} cannot open an OpenGL context ({reason}); "
                "run `opendactyl doctor`"
            ) from error


def bound_backend() -> str:
    """The backend that MuJoCo took when it was imported; empty if it loaded none."""
    context = getattr(gl_context, "GLContext", None)
    return "" if context is None else context.__module__.rpartition(".")[2]
