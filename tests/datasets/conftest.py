import shutil

import pytest


@pytest.fixture
def copy(dataset, tmp_path):
    """A copy of the dataset that may be damaged, without its cache."""
    shutil.copytree(dataset, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "copy"
