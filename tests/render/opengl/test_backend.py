import subprocess

import pytest

from opendactyl.core.errors import InputError
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
    result = backend.probe(backend.choose())
    assert result.ok, result.detail


def test_unknown_backend_lists_the_valid_ones(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    with pytest.raises(InputError, match="egl, osmesa, glfw"):
        backend.choose()


def test_a_failing_backend_comes_with_a_remedy(no_display):
    result = backend.probe("glfw")
    assert not result.ok
    assert "no display" in result.detail


def test_a_missing_library_names_the_packages(monkeypatch):
    failing(monkeypatch, library=None)
    assert "libEGL is not installed: apt-get install libegl1" in backend.probe("egl").detail
    assert "libOSMesa is not installed" in backend.probe("osmesa").detail


def test_a_library_without_a_driver_is_told_from_one_that_is_missing(monkeypatch, tmp_path):
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


def test_no_mujoco_and_a_hanging_driver_are_said(monkeypatch):
    failing(monkeypatch, stderr="ModuleNotFoundError: No module named 'mujoco'")
    assert "make setup" in backend.probe("egl").detail

    def hang(*args, timeout, **options):
        raise subprocess.TimeoutExpired(args, timeout)

    monkeypatch.setattr(backend.subprocess, "run", hang)
    assert "hangs" in backend.probe("egl").detail


def test_nothing_works_is_said_with_every_reason(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(backend, "probe", lambda name: backend.Probe(name, False, "broken"))
    with pytest.raises(InputError, match="egl: broken; osmesa: broken"):
        backend.choose()
