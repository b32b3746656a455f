import os
import subprocess
import sys

import pytest

from opendactyl.core import mujoco_gl
from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.render.opengl import backend


@pytest.fixture
def no_display(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def failing(monkeypatch, *, stderr="ImportError: no such thing", library="libEGL.so.1"):
    """Makes every probe end with `stderr`, where only `library` is installed."""
    done = subprocess.CompletedProcess([], 1, "", f"Traceback\n{stderr}\n")
    monkeypatch.setattr(backend.subprocess, "run", lambda *a, **k: done)
    monkeypatch.setattr(backend.ctypes.util, "find_library", lambda name: library)


def test_the_chosen_backend_works():
    result = backend.probe(backend.choose_backend())
    assert result.ok, result.detail


def test_an_unknown_value_lists_the_valid_ones(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    with pytest.raises(InputError, match="egl, osmesa, glfw"):
        backend.choose_backend()


def test_a_failing_backend_comes_with_a_remedy(no_display):
    result = backend.probe("glfw")
    assert not result.ok
    assert "no display" in result.detail


def test_a_missing_library_names_the_packages(monkeypatch):
    failing(monkeypatch, library=None)
    assert "libEGL is not installed: apt-get install libegl1" in backend.probe("egl").detail
    assert "libOSMesa is not installed" in backend.probe("osmesa").detail


def test_a_library_without_a_driver_differs_from_a_missing_one(monkeypatch, tmp_path):
    failing(monkeypatch)
    monkeypatch.setattr(backend, "EGL_DRIVERS", (str(tmp_path),))
    assert "libegl-mesa0" in backend.probe("egl").detail
    (tmp_path / "50_mesa.json").write_text("{}")
    monkeypatch.setattr(backend, "DEVICES", tmp_path)
    assert "no such thing" in backend.probe("egl").detail


def test_a_device_without_permission_names_the_group(monkeypatch, tmp_path):
    node = tmp_path / "renderD128"
    node.touch()
    failing(monkeypatch)
    monkeypatch.setattr(backend, "DEVICES", tmp_path)
    monkeypatch.setattr(backend, "EGL_DRIVERS", (str(tmp_path),))
    (tmp_path / "driver.json").write_text("{}")
    assert backend.forbidden_devices() == []
    monkeypatch.setattr(backend.os, "access", lambda path, mode: False)
    assert backend.forbidden_devices() == [node]
    detail = backend.probe("egl").detail
    assert f"no permission for {node}: sudo usermod -aG {node.group()} $USER" in detail


def test_a_missing_mujoco_and_a_hanging_driver_are_named(monkeypatch):
    failing(monkeypatch, stderr="ModuleNotFoundError: No module named 'mujoco'")
    assert "make setup" in backend.probe("egl").detail

    def hang(*args, timeout, **options):
        raise subprocess.TimeoutExpired(args, timeout)

    monkeypatch.setattr(backend.subprocess, "run", hang)
    assert "hangs" in backend.probe("egl").detail


@pytest.fixture
def probes(monkeypatch):
    """Replaces the probes: only the backends in the list work; returns the probed names."""
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setenv("OPENDACTYL_GL_PROBED", "")

    def replace(*working):
        probed = []

        def probe(name):
            probed.append(name)
            return backend.Probe(name, name in working, "broken")

        monkeypatch.setattr(backend, "probe", probe)
        return probed

    return replace


def test_the_first_backend_that_works_is_chosen_and_probed_once(probes):
    probed = probes("osmesa")
    assert [backend.choose_backend(), backend.choose_backend()] == ["osmesa", "osmesa"]
    assert probed == ["egl", "osmesa"]
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_every_failure_is_listed_if_none_works(probes):
    probes()
    with pytest.raises(EnvironmentFailure, match="egl: broken; osmesa: broken"):
        backend.choose_backend()
    assert "MUJOCO_GL" not in os.environ


def test_a_requested_backend_must_open_a_context(probes, monkeypatch):
    probed = probes("egl")
    monkeypatch.setenv("MUJOCO_GL", "GLFW ")
    with pytest.raises(EnvironmentFailure, match=r"MUJOCO_GL=glfw opens no OpenGL .*\(broken\)"):
        backend.choose_backend()
    assert probed == ["glfw"]


@pytest.mark.parametrize("value", [*mujoco_gl.DISABLED, " Disable "])
def test_rendering_needs_opengl(probes, monkeypatch, value):
    probes("egl")
    monkeypatch.setenv("MUJOCO_GL", value)
    assert mujoco_gl.requested() == value.strip().lower()
    with pytest.raises(InputError, match="but this command renders"):
        backend.choose_backend()


def test_mujoco_accepts_every_value():
    for value in mujoco_gl.DISABLED:
        code = "import mujoco; print(hasattr(mujoco, 'GLContext'))"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True,
            env=os.environ | {"MUJOCO_GL": value},
        )  # fmt: skip
        assert done.stdout == "False\n", done.stderr
