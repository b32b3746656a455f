"""Pictures that cannot be used: one line each, and the disk's faults are told from the user's."""

import errno

import pytest
from PIL import Image

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.render.appearance.elements import Backdrop
from opendactyl.render.appearance.textures import backdrop_texture
from opendactyl.sim.assets.pictures import picture_error


def test_faults_of_the_disk_are_told_from_damaged_files():
    failure = picture_error("a.png", OSError(errno.EIO, "Input/output error"), "remove it")
    assert isinstance(failure, EnvironmentFailure)
    missing = picture_error("a.png", OSError(errno.ENOENT, "No such file"), "remove it")
    assert str(missing) == "cannot read a.png: No such file; remove it"
    damaged = picture_error("a.png", SyntaxError("broken PNG file"), "remove it")
    assert str(damaged) == "a.png is not a picture that can be used (broken PNG file); remove it"


def test_a_background_that_is_too_large_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("RGB", (64, 64)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    backdrop = Backdrop(
        pattern="picture", first=(0, 0, 0), second=(1, 1, 1), scale=1, tile=1.0, seed=0
    )
    with pytest.raises(InputError, match=r"the background .*large.png .*exceeds limit"):
        backdrop_texture(backdrop, pictures=[path])
