"""A run that cannot be accessed is an error: it is not started again, and nothing is replaced."""

import errno
import shutil

import pytest

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.vision.training.train import train

KINDS = {errno.EIO: EnvironmentFailure, errno.EACCES: InputError}


@pytest.mark.parametrize("number", KINDS)
@pytest.mark.parametrize("name", ["seeds.json", "config.json", "last.ckpt"])
def test_resuming_replaces_nothing(vision_run, tiny, tmp_path, deny, content, name, number):
    run = shutil.copytree(vision_run, tmp_path / "run")
    before = content(run)
    with (
        deny(name, number),
        pytest.raises(KINDS[number], match=f"cannot access .*{name}"),
    ):
        train(tiny(run, max_epochs=3, resume=True))
    assert content(run) == before
