import errno
import threading

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError, file_error, one_line_errors


def ending(error, capsys):
    """(exit status, stderr) of a command that raises `error`."""
    with pytest.raises(SystemExit) as stop, one_line_errors():
        raise error
    return stop.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (InputError("no such\nrig"), 2, "opendactyl: no such rig"),
        (EnvironmentFailure("a worker died"), 3, "opendactyl: a worker died"),
        (OSError(errno.ENOSPC, "No space left on device"), 3, "No space left"),
        (OSError(errno.EIO, "Input/output error", "x.tar"), 3, "x.tar"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "name a folder that is writable"),
        (MemoryError(), 3, "out of memory"),
        (ValueError("not\na number"), 1, "ValueError: not a number"),
        (KeyError("rig"), 1, "KeyError: 'rig'"),
        (PermissionError(errno.EACCES, "Permission denied"), 1, "internal error"),
        (AssertionError(), 1, "internal error (AssertionError)"),
    ],
)
def test_errors_end_in_one_line_and_their_status(error, status, words, capsys, monkeypatch):
    monkeypatch.delenv("OPENDACTYL_DEBUG", raising=False)
    code, stderr = ending(error, capsys)
    assert code == status
    assert words in stderr
    assert stderr.count("\n") == 1
    assert ("--debug" in stderr) == (status == 1)


@pytest.mark.parametrize("error", [InputError("a"), EnvironmentFailure("b"), RuntimeError("c")])
def test_debug_prints_the_traceback(error, capsys, monkeypatch):
    monkeypatch.setenv("OPENDACTYL_DEBUG", "1")
    code, stderr = ending(error, capsys)
    assert code in (1, 2, 3)
    assert "Traceback" in stderr and "test_errors.py" in stderr
    assert stderr.splitlines()[-1].startswith("opendactyl: ")


def test_a_closed_pipe_passes():
    with pytest.raises(BrokenPipeError), one_line_errors():
        raise BrokenPipeError


def test_neither_is_a_value_error():
    for kind in (InputError, EnvironmentFailure):
        assert not issubclass(kind, (ValueError, OSError, RuntimeError))


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, EnvironmentFailure), (errno.EDQUOT, EnvironmentFailure),
        (errno.EIO, EnvironmentFailure), (errno.EACCES, InputError), (errno.ENOENT, InputError),
        (errno.EISDIR, InputError), (errno.ENAMETOOLONG, InputError),
    ],
)  # fmt: skip
def test_file_errors_are_classified_by_errno(number, kind):
    error = file_error("cannot write x", OSError(number, "why"))
    assert type(error) is kind
    assert str(error).startswith("cannot write x: why")


def test_an_unknown_error_during_an_interrupt_is_the_interrupt():
    lock = threading.Lock()
    with pytest.raises(KeyboardInterrupt), one_line_errors(), lock:
        lock.release()
        raise KeyboardInterrupt


def test_a_full_disk_during_an_interrupt_is_said(capsys):
    def save():
        try:
            raise KeyboardInterrupt
        finally:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit) as stop, one_line_errors():
        save()
    assert stop.value.code == 3
    assert "No space left" in capsys.readouterr().err
