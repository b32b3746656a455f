import errno
from dataclasses import dataclass
from pathlib import Path

import pytest

from opendactyl.core.config_fields import load_preset
from opendactyl.core.errors import EnvironmentFailure, InputError


@dataclass(frozen=True)
class Config:
    light: float = 1.0


PRESETS = {"dactyl": Config(), "wide": Config(2.0)}


def load(path):
    return load_preset("appearance", str(path), PRESETS)


def test_a_file_replaces_values_of_its_preset(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text('preset = "wide"\n')
    assert load(path) == Config(2.0)
    path.write_text("light = 3.0\n")
    assert load(path) == Config(3.0)


@pytest.mark.parametrize("content", [b"shade = 1", b"light =", b'preset = "loud"', b"# \xff"])
def test_a_wrong_file_is_named_with_the_allowed_keys(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"appearance .*a\.toml: .*the keys are: preset, light"):
        load(tmp_path / "a.toml")


def test_a_missing_file_is_the_users_and_a_failed_disk_is_not(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"cannot read the appearance .*No such file.*light"):
        load(tmp_path / "a.toml")

    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(EnvironmentFailure, match=r"cannot read .*Input/output error"):
        load(tmp_path / "a.toml")
