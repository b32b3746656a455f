"""Exit statuses, and tracebacks with `--debug` or OPENDACTYL_DEBUG=1."""

import pytest

from opendactyl.cli.verbs import preview
from opendactyl.core.errors import EnvironmentFailure, InputError

ERRORS = [(InputError("a"), 2), (EnvironmentFailure("b"), 3), (RuntimeError("c"), 1)]


@pytest.fixture
def raises(monkeypatch):
    """Makes `preview` raise an error."""

    def replace(error):
        def main(argv):
            raise error

        monkeypatch.setattr(preview, "main", main)
        monkeypatch.delenv("OPENDACTYL_DEBUG", raising=False)

    return replace


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_an_error_is_one_line_by_default(raises, fails, error, status):
    raises(error)
    ended, stderr = fails("preview")
    assert ended == status
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize(("error", "status"), ERRORS)
@pytest.mark.parametrize(
    "arguments", [("--debug", "preview"), ("preview", "--debug"), ("preview", "--debug", "--x")]
)
def test_debug_prints_the_traceback(raises, fails, error, status, arguments):
    raises(error)
    ended, stderr = fails(*arguments)
    assert ended == status
    assert "Traceback" in stderr and "test_debug.py" in stderr
    assert stderr.splitlines()[-1].startswith("opendactyl: ")


@pytest.mark.parametrize(("value", "traceback"), [("1", True), ("0", False), ("", False)])
def test_the_environment_variable_prints_it_too(raises, fails, monkeypatch, value, traceback):
    raises(InputError("a"))
    monkeypatch.setenv("OPENDACTYL_DEBUG", value)
    assert ("Traceback" in fails("preview")[1]) == traceback


def test_debug_is_no_option_of_the_verb(fails):
    status, stderr = fails("preview", "--debug", "--data", "nowhere")
    assert status == 2
    assert "Traceback" in stderr and "nowhere" in stderr.splitlines()[-1]
