"""Where models are looked up."""

import sys
from pathlib import Path

import pytest

from opendactyl.core.errors import InputError
from opendactyl.sim.assets.lookup import find_asset
from opendactyl.sim.assets.source_files import name_in_copy

PACKAGE = """
import pathlib


class Cache:
    root = {root!r}

    def model_path(self, robot):
        return pathlib.Path({cache!r}) / f"{{robot}}-0123456789abcdef"

    def is_cached(self, robot):
        return self.model_path(robot).is_dir()


def names():
    return ["claw_hand"]


def get(name):
    return name
"""


@pytest.fixture
def menagerie(tmp_path, monkeypatch):
    """Installs a package with the interface of mujoco-menagerie, whose cache has one robot."""

    def install(root=None):
        package = tmp_path / "site" / "mujoco_menagerie"
        package.mkdir(parents=True)
        cache = str(tmp_path / "cache")
        (package / "__init__.py").write_text(PACKAGE.format(root=root, cache=cache))
        monkeypatch.syspath_prepend(str(package.parent))
        monkeypatch.delitem(sys.modules, "mujoco_menagerie", raising=False)

    robot = tmp_path / "cache/claw_hand-0123456789abcdef"
    (robot / "assets").mkdir(parents=True)
    (robot / "right_hand.xml").write_text("<mujoco/>")
    (robot / "assets/palm.obj").write_text("")
    return install


def test_a_downloaded_robot_of_the_menagerie_is_found(menagerie, tmp_path):
    menagerie()
    found = find_asset("claw_hand/right_hand.xml", tmp_path, "hand claw")
    assert found.path == tmp_path / "cache/claw_hand-0123456789abcdef/right_hand.xml"
    # Copies have the names of the description, wherever the model was found.
    mesh = found.path.parent / "assets/palm.obj"
    assert name_in_copy(mesh, found, "hand claw") == "claw_hand/assets/palm.obj"
    assert name_in_copy(found.path, found, "hand claw") == "claw_hand/right_hand.xml"
    for name in ("claw_hand/left_hand.xml", "other_hand/right_hand.xml", "right_hand.xml"):
        with pytest.raises(InputError, match="mujoco-menagerie prefetch"):
            find_asset(name, tmp_path, "hand claw")


def test_a_checkout_of_the_menagerie_comes_before_its_cache(menagerie, tmp_path):
    checkout = tmp_path / "checkout"
    (checkout / "claw_hand").mkdir(parents=True)
    (checkout / "claw_hand/right_hand.xml").write_text("<mujoco/>")
    menagerie(root=str(checkout))
    found = find_asset("claw_hand/right_hand.xml", tmp_path, "hand claw")
    assert found.path == checkout / "claw_hand/right_hand.xml"


def test_what_lies_beside_the_description_comes_first(menagerie, tmp_path):
    menagerie()
    (tmp_path / "claw_hand").mkdir()
    (tmp_path / "claw_hand/right_hand.xml").write_text("<mujoco/>")
    found = find_asset("claw_hand/right_hand.xml", tmp_path, "hand claw")
    assert found == (tmp_path, Path(tmp_path, "claw_hand/right_hand.xml"), "")
