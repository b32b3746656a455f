from dataclasses import dataclass

import pytest

from opendactyl.cli.options import parse
from opendactyl.core.config_fields import renamed
from opendactyl.core.run_dir import to_plain


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings."""

    video_seconds: float = renamed(20.0, "film_seconds")
    """Length of the video."""


@pytest.mark.parametrize(
    "words",
    [["--video-seconds", "3"], ["--film-seconds", "3"], ["--film_seconds=3"], ["--film-seconds=3"]],
)
def test_former_names_of_options_still_work(words):
    assert parse(Config, "run", words, "Runs.").video_seconds == 3.0


def test_files_keep_the_key_of_a_renamed_setting():
    assert to_plain(Config(video_seconds=3.0)) == {"film_seconds": 3.0}


def test_help_has_only_the_present_name(capsys):
    with pytest.raises(SystemExit):
        parse(Config, "run", ["--help"], "Runs.")
    output = capsys.readouterr().out
    assert "--video-seconds" in output and "film" not in output
