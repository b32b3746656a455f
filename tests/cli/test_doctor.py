"""The doctor: one line for each part, and status 3 if one of them fails."""

import pytest

from opendactyl.cli.verbs import doctor
from opendactyl.render.opengl.backend import Probe


@pytest.fixture
def probes(monkeypatch):
    """Replaces the results of the backends' probes."""

    def replace(**results):
        monkeypatch.setattr(
            doctor,
            "probe",
            lambda name: Probe(name, *results.get(name, (False, f"lib{name} is not installed"))),
        )

    return replace


def lines(capsys):
    status = doctor.main([])
    return status, capsys.readouterr().out.splitlines()


def test_each_part_has_a_line(opendactyl, tmp_path):
    done = opendactyl("doctor", cwd=tmp_path, MUJOCO_GL="")
    assert done.returncode == 0, done.stdout
    rows = {line[5:24].strip(): line for line in done.stdout.splitlines()}
    assert {
        "python", "cores", "physics", "gl egl", "gl osmesa", "gl glfw", "classic renderer",
        "filament renderer", "accelerator", "ray",
    } <= set(rows)  # fmt: skip
    assert rows["classic renderer"].split("uses ")[1].split()[0] in ("egl", "osmesa")
    assert not list(tmp_path.iterdir())


def test_no_working_backend_is_a_failure(probes, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "egl")
    probes()
    status, output = lines(capsys)
    assert status == 3
    assert any(line.startswith("FAIL classic renderer") for line in output)
    assert "--   gl egl             libegl is not installed" in output


def test_a_requested_backend_that_fails_names_a_working_one(probes, capsys, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    probes(osmesa=(True, "llvmpipe"))
    status, output = lines(capsys)
    assert status == 3
    (failure,) = (line for line in output if line.startswith("FAIL"))
    assert failure.endswith("MUJOCO_GL=glfw does not work here; unset it, or set it to osmesa")


@pytest.mark.parametrize(
    ("value", "status", "line"),
    [
        (
            "vulcan",
            3,
            "FAIL classic renderer   MUJOCO_GL is 'vulcan'; it must be one of egl, osmesa",
        ),
        (" Off ", 0, "--   classic renderer   MUJOCO_GL=off turns it off; unset it to render"),
        (" OSMesa", 0, "ok   classic renderer   uses osmesa (software)"),
        ("", 0, "ok   classic renderer   uses osmesa (software)"),
    ],
)
def test_the_value_of_mujoco_gl_is_checked(probes, capsys, monkeypatch, value, status, line):
    monkeypatch.setenv("MUJOCO_GL", value)
    probes(osmesa=(True, "llvmpipe"))
    ended, output = lines(capsys)
    assert ended == status
    assert [found[: len(line)] for found in output if "classic" in found] == [line]


def test_a_missing_package_is_a_failure_with_its_remedy(monkeypatch, capsys):
    found = doctor.importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "torchrl" else found(name)
    )
    status, output = lines(capsys)
    assert status == 3
    assert 'FAIL policy training    torchrl is missing: pip install "opendactyl[train]"' in output
