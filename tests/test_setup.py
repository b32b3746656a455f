"""Set-up says what it may not do, and touches nothing that it did not make."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts/setup.sh"
SHELL = ("bash", "basename", "dirname", "env", "grep", "ls", "mktemp", "rm", "tail", "touch")


@pytest.fixture
def machine(tmp_path):
    """Runs set-up on a machine that has only the named commands, each a line of shell."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in SHELL:
        real = next(p for d in ("/usr/bin", "/bin") if (p := Path(d) / name).exists())
        (commands / name).symlink_to(real)

    def run(venv, python, **stubs):
        for name, line in stubs.items():
            stub = commands / name.replace("_", "-")
            stub.write_text(f"#!/bin/bash\necho {stub.name} $* >> {tmp_path}/calls\n{line}\n")
            stub.chmod(0o755)
        return subprocess.run(
            ["bash", SCRIPT, venv, python],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "PATH": str(commands), "TMPDIR": str(tmp_path)},
        )  # fmt: skip

    return run


INSTALLED = {"dpkg_query": "echo install ok installed", "apt_cache": "exit 0", "apt_get": "exit 9"}
ABSENT = INSTALLED | {"dpkg_query": "exit 1"}
OLD_PYTHON = '[ "$1" = --version ] && echo Python 3.9.2; [[ $2 == "import ensurepip" ]]'


def test_who_may_not_install_is_told_what_to_ask_for(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 1000", sudo="exit 1", **ABSENT)
    assert "sudo apt-get install libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers" in (
        done.stderr
    )
    assert "apt-get" not in (tmp_path / "calls").read_text()
    assert done.returncode == 2


def test_root_installs_what_is_missing(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 0", **ABSENT | {"apt_get": "exit 0"})
    calls = (tmp_path / "calls").read_text()
    assert "apt-get install -y -qq" in calls
    assert "libosmesa6" in calls
    assert "administrator" not in done.stderr


def test_a_package_that_the_release_has_not_is_left_out(machine, tmp_path):
    without = ABSENT | {"apt_cache": "[[ $2 != libosmesa6 ]]"}
    done = machine(tmp_path / "v", "/no/python", id="echo 1000", **without)
    assert "sudo apt-get install libegl1 libgl1 libgles2 mesa-vulkan-drivers\n" in done.stderr


def test_where_all_is_installed_nothing_is_asked_for(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 0", **INSTALLED)
    assert "apt-get" not in (tmp_path / "calls").read_text()
    assert done.stderr == (
        "setup: there is no /no/python; name Python 3.11 or newer: "
        "make setup PYTHON=/path/to/python3\n"
    )
    assert done.returncode == 2


def test_an_old_python_is_named(machine, tmp_path):
    done = machine(tmp_path / "v", "python3", id="echo 0", python3=OLD_PYTHON, **INSTALLED)
    assert "Python 3.9.2 is too old; name 3.11 or newer" in done.stderr
    assert done.returncode == 2
    assert not (tmp_path / "v").exists()


def test_a_folder_that_holds_something_else_is_left_alone(machine, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/love.txt").write_text("dear")
    done = machine(tmp_path / "letters", "python3", id="echo 0", python3="exit 0", **INSTALLED)
    assert "holds something else than a virtual environment" in done.stderr
    assert done.returncode == 2
    assert (tmp_path / "letters/love.txt").read_text() == "dear"


def test_without_venv_the_package_is_named(machine, tmp_path):
    """Debian's python3 has a venv module that fails, for want of ensurepip."""
    broken = '[[ $1 == "-c" && $2 != *ensurepip* ]]'
    done = machine(tmp_path / "v", "python3", id="echo 1000", python3=broken, **ABSENT)
    assert "mesa-vulkan-drivers python3 python3-venv" in done.stderr
    assert "cannot make a virtual environment here: sudo apt-get install python3-venv" in (
        done.stderr
    )
    assert done.returncode == 2
