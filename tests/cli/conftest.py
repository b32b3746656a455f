"""The command line, in a process of its own or, where it only has to refuse, in this one."""

import os
import subprocess
import sys

import pytest

from opendactyl.cli.main import main


@pytest.fixture(scope="session")
def opendactyl():
    """Runs `opendactyl ARGUMENTS` in a folder, as a shell does."""

    def run(*arguments, cwd, **environment):
        return subprocess.run(
            [sys.executable, "-P", "-m", "opendactyl.cli.main", *map(str, arguments)],
            cwd=cwd, capture_output=True, text=True, check=False,
            env={**os.environ, "COLUMNS": "100", **environment},
        )  # fmt: skip

    return run


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and path.name != ".lock"
    }


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Runs a command that has to fail, in an own folder; returns its one line.

    Neither that folder nor the ones named with `kept` may change.
    """

    def run(*arguments, kept=()):
        monkeypatch.chdir(tmp_path)
        folders = (tmp_path, *kept)
        before = [_contents(folder) for folder in folders]
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        # A progress bar ends in a carriage return; what is told stands after it.
        lines = [line.split("\r")[-1] for line in said.err.strip().split("\n")]
        assert stop.value.code == 2, said.err
        assert len(lines) == 1 and lines[0].startswith("opendactyl: "), said.err
        assert [_contents(folder) for folder in folders] == before
        return lines[0]

    return run
