"""Set-up names the packages it may not install, and changes no folder of the user."""

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


def test_without_permission_it_names_the_packages(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 1000", sudo="exit 1", **ABSENT)
    assert "sudo apt-get install libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers" in (
        done.stderr
    )
    assert "apt-get" not in (tmp_path / "calls").read_text()
    assert done.returncode == 2


def test_root_installs_missing_packages(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 0", **ABSENT | {"apt_get": "exit 0"})
    calls = (tmp_path / "calls").read_text()
    assert "apt-get install -y -qq" in calls
    assert "libosmesa6" in calls
    assert "administrator" not in done.stderr


def test_packages_that_the_release_lacks_are_skipped(machine, tmp_path):
    without = ABSENT | {"apt_cache": "[[ $2 != libosmesa6 ]]"}
    done = machine(tmp_path / "v", "/no/python", id="echo 1000", **without)
    assert "sudo apt-get install libegl1 libgl1 libgles2 mesa-vulkan-drivers\n" in done.stderr


def test_with_all_packages_installed_apt_is_not_called(machine, tmp_path):
    done = machine(tmp_path / "v", "/no/python", id="echo 0", **INSTALLED)
    assert "apt-get" not in (tmp_path / "calls").read_text()
    assert done.stderr == (
        "setup: there is no /no/python; name Python 3.11 or newer: "
        "make setup PYTHON=/path/to/python3\n"
    )
    assert done.returncode == 2


def test_an_old_python_is_refused(machine, tmp_path):
    done = machine(tmp_path / "v", "python3", id="echo 0", python3=OLD_PYTHON, **INSTALLED)
    assert "Python 3.9.2 is too old; name 3.11 or newer" in done.stderr
    assert done.returncode == 2
    assert not (tmp_path / "v").exists()


def test_another_folder_is_not_overwritten(machine, tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/letter.txt").write_text("dear")
    done = machine(tmp_path / "documents", "python3", id="echo 0", python3="exit 0", **INSTALLED)
    assert "is not a virtual environment" in done.stderr
    assert done.returncode == 2
    assert (tmp_path / "documents/letter.txt").read_text() == "dear"


def test_without_venv_it_names_the_package(machine, tmp_path):
    """Debian's python3 has a venv module that fails without ensurepip."""
    broken = '[[ $1 == "-c" && $2 != *ensurepip* ]]'
    done = machine(tmp_path / "v", "python3", id="echo 1000", python3=broken, **ABSENT)
    assert "mesa-vulkan-drivers python3 python3-venv" in done.stderr
    assert "cannot create a virtual environment: sudo apt-get install python3-venv" in (done.stderr)
    assert done.returncode == 2
