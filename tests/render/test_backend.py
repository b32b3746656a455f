import pytest

from opendactyl.files.errors import InputError
from opendactyl.render import backend


def test_the_chosen_backend_works():
    result = backend.probe(backend.choose())
    assert result.ok, result.detail


def test_unknown_backend_lists_the_valid_ones(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    with pytest.raises(InputError, match="egl, osmesa, glfw"):
        backend.choose()


def test_a_failing_backend_comes_with_a_remedy(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    result = backend.probe("glfw")
    assert not result.ok
    assert "no display" in result.detail


def test_nothing_works_is_said_with_every_reason(monkeypatch):
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(backend, "probe", lambda name: backend.Probe(name, False, "broken"))
    with pytest.raises(InputError, match="egl: broken; osmesa: broken"):
        backend.choose()
