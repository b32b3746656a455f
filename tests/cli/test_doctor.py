"""The doctor: one line a part, and status 1 when the main job cannot run."""

import pytest

from opendactyl.cli.verbs import doctor
from opendactyl.render.opengl.backend import Probe


@pytest.fixture
def probes(monkeypatch):
    """Pretends that backends do or do not work."""

    def pretend(**results):
        monkeypatch.setattr(
            doctor,
            "probe",
            lambda name: Probe(name, *results.get(name, (False, f"lib{name} is not installed"))),
        )

    return pretend


def lines(capsys):
    status = doctor.main([])
    return status, capsys.readouterr().out.splitlines()


def test_each_part_has_a_line_with_the_chosen_backend(opendactyl, tmp_path):
    done = opendactyl("doctor", cwd=tmp_path, MUJOCO_GL="")
    assert done.returncode == 0, done.stdout
    parts = {line[5:24].strip(): line for line in done.stdout.splitlines()}
    assert {
        "python", "cores", "physics", "gl egl", "gl osmesa", "gl glfw", "classic renderer",
        "filament renderer", "accelerator", "ray",
    } <= set(parts)  # fmt: skip
    assert parts["classic renderer"].split("uses ")[1].split()[0] in ("egl", "osmesa")
    assert not list(tmp_path.iterdir())


def test_no_backend_at_all_is_a_failure(probes, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    probes()
    status, said = lines(capsys)
    assert status == 1
    assert any(line.startswith("FAIL classic renderer") for line in said)
    assert "--   gl egl             libegl is not installed" in said


def test_a_set_backend_that_fails_names_one_that_works(probes, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    probes(osmesa=(True, "llvmpipe"))
    status, said = lines(capsys)
    assert status == 1
    (failure,) = (line for line in said if line.startswith("FAIL"))
    assert failure.endswith("MUJOCO_GL=glfw does not work here; unset it, or set it to osmesa")


def test_an_unknown_backend_lists_the_valid_ones(probes, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulcan")
    probes(egl=(True, "llvmpipe"))
    status, said = lines(capsys)
    assert status == 1
    assert any("'vulcan'; it must be one of egl, osmesa, glfw" in line for line in said)


def test_a_missing_package_is_a_failure_with_its_remedy(monkeypatch, capsys):
    found = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "torchrl" else found(name)
    )
    status, said = lines(capsys)
    assert status == 1
    assert 'FAIL policy training    torchrl is missing: pip install "opendactyl[train]"' in said
