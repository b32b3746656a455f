import shutil

import pytest


@pytest.fixture
def copy(dataset, tmp_path):
    """A dataset to damage, without what other tests have decoded of it."""
    shutil.copytree(dataset, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "copy"
