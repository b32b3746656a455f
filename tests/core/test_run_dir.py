"""Run folders: no file is overwritten, and only equal settings continue a run."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from opendactyl.core.atomic_files import read_json
from opendactyl.core.errors import InputError
from opendactyl.core.run_dir import new_folder, open_run, to_plain


@dataclass(frozen=True, kw_only=True)
class Inner:
    range: tuple[float, float] = (0.5, 1.5)


@dataclass(frozen=True, kw_only=True)
class Settings:
    out: Path = Path("runs/x")
    steps: int = 3
    inner: Inner = Inner()
    names: tuple[str, ...] = ("a", "b")
    limit: float | None = None


PLAIN = {
    "out": "runs/x",
    "steps": 3,
    "inner": {"range": [0.5, 1.5]},
    "names": ["a", "b"],
    "limit": None,
}


def test_dataclasses_become_plain():
    assert to_plain(Settings()) == PLAIN


def test_a_new_run_keeps_its_settings(tmp_path):
    run = open_run(tmp_path / "a" / "b", PLAIN, resume=False)
    assert run == tmp_path / "a" / "b"
    assert read_json(run / "config.json") == PLAIN


def test_a_folder_that_is_not_empty_is_refused_and_kept(tmp_path):
    (tmp_path / "precious").write_text("x")
    for make in (lambda: open_run(tmp_path, PLAIN, resume=False), lambda: new_folder(tmp_path)):
        with pytest.raises(InputError, match=r"not empty.*--resume"):
            make()
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


def test_an_empty_folder_is_accepted(tmp_path):
    assert new_folder(tmp_path) == tmp_path


def test_resume_continues_with_equal_settings(tmp_path):
    open_run(tmp_path / "run", PLAIN, resume=True)
    before = (tmp_path / "run" / "config.json").stat().st_mtime_ns
    assert open_run(tmp_path / "run", PLAIN, resume=True) == tmp_path / "run"
    assert (tmp_path / "run" / "config.json").stat().st_mtime_ns == before


def test_resume_names_every_setting_that_differs(tmp_path):
    open_run(tmp_path / "run", PLAIN, resume=False)
    other = {**PLAIN, "steps": 4, "new": 1}
    del other["names"]
    del other["limit"]  # Absent and None are equal, so that a new option does not break old runs.
    with pytest.raises(InputError) as caught:
        open_run(tmp_path / "run", other, resume=True)
    message = str(caught.value)
    assert "steps: 3 there, 4 now" in message
    assert "new: 'absent' there, 1 now" in message
    assert "names: ['a', 'b'] there, 'absent' now" in message
    assert "limit" not in message
    assert "inner" not in message
    assert read_json(tmp_path / "run" / "config.json") == PLAIN


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_broken_settings_are_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=r"config\.json"):
        open_run(tmp_path, PLAIN, resume=True)
    assert (tmp_path / "config.json").read_text() == text


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="cannot use the folder"):
            new_folder(out, resume=True)
