"""Bundles that ship, by the names that the documentation gives them."""

import pytest

from opendactyl.cli.bundles import SHIPPED, find_shipped
from opendactyl.cli.main import main


@pytest.mark.parametrize("before", ["", "--bundle=", "policy:"])
def test_shipped_bundles_have_their_names_everywhere(before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_shipped(f"{before}pretrained/spin") == f"{before}{SHIPPED}/spin"
    for word in ("pretrained/mine", "spin", "--out=runs/pretrained/spin", "pretrained"):
        assert find_shipped(before + word) == before + word
    (tmp_path / "pretrained/spin").mkdir(parents=True)
    assert find_shipped(f"{before}pretrained/spin") == f"{before}pretrained/spin"


def test_a_name_that_no_file_can_have_is_an_error_in_one_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", "--check", "pretrained/" + 300 * "x"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "File name too long" in line


def test_a_shipped_bundle_is_checked_from_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["export", "--check", "pretrained/trifinger"])
    assert stop.value.code == 0 and f"{SHIPPED}/trifinger is valid" in capsys.readouterr().out
