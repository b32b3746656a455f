"""Fixtures that run the command line, in a subprocess or, for errors, in this process."""

import contextlib
import io
import os
import re
from unittest import mock

import pytest

from opendactyl.cli.main import main


@pytest.fixture(scope="session")
def opendactyl(python):
    """Runs `opendactyl ARGUMENTS` in a folder, in a process of its own."""

    def run(*arguments, cwd, **environment):
        known = {**os.environ, "COLUMNS": "100"}
        return python("-m", "opendactyl.cli.main", *arguments, cwd=cwd, env=known | environment)

    return run


@pytest.fixture(scope="session")
def succeeds():
    """Runs a command in a folder, in this process, which saves the imports; returns its output."""

    def run(*arguments, cwd):
        output = io.StringIO()
        with (
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(output),
            mock.patch.dict(os.environ),
            pytest.raises(SystemExit) as stop,
        ):
            main([str(argument) for argument in arguments])
        assert stop.value.code == 0, arguments
        return output.getvalue()

    return run


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and path.name != ".lock"
    }


@pytest.fixture
def fails(tmp_path, monkeypatch, capsys):
    """Runs a command that must fail, in an empty folder; returns its exit status and stderr.

    Neither that folder nor the ones named with `kept` may change.
    """

    def run(*arguments, kept=()):
        monkeypatch.chdir(tmp_path)
        folders = (tmp_path, *kept)
        before = [_contents(folder) for folder in folders]
        # The command sets environment variables, which must not remain in this process.
        with pytest.raises(SystemExit) as stop, mock.patch.dict(os.environ):
            main([str(argument) for argument in arguments])
        assert [_contents(folder) for folder in folders] == before
        return stop.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def refused(fails):
    """Runs a command that must fail with status 2 and one line on stderr; returns the line."""

    def run(*arguments, kept=()):
        status, stderr = fails(*arguments, kept=kept)
        # A progress bar ends in a carriage return; the message follows it.
        lines = [line.split("\r")[-1] for line in stderr.strip().split("\n")]
        assert status == 2, stderr
        assert len(lines) == 1 and lines[0].startswith("opendactyl: "), stderr
        return lines[0]

    return run


@pytest.fixture
def wrong_options(fails, monkeypatch):
    """Runs a command with wrong options; returns tyro's message, without its box, as one line."""

    def run(*arguments):
        monkeypatch.setenv("COLUMNS", "100")
        status, stderr = fails(*arguments)
        assert status == 2, stderr
        assert "Traceback" not in stderr
        return " ".join(re.sub(r"[╭╮╰╯│─]|-{3,}", " ", stderr).split())

    return run
