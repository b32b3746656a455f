"""Runs scripts of bop_toolkit, which is on the path, on an export: EXPORT COMMAND ...

The toolkit finds datasets in a table of its own, which names those of BOP only. Here, each name in
it stands for the export, in whatever the scripts load. Scripts that a script calls run in this
process, where this holds too.
"""

import importlib
import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any


def register(export: Path) -> None:
    """Has the toolkit take an export for each of its datasets.

    Its folder has the name of one with a single sensor, whose paths are then the export's. Models
    are those of `models`: MeshLab would make those of `models_eval` from them.
    """
    table: Any = importlib.import_module("bop_toolkit_lib.dataset_params")
    split, models, keys = table.get_split_params, table.get_model_params, table.scene_tpaths_keys
    camera = json.loads((export / "camera.json").read_text())
    scenes = {
        "scene_ids": sorted(int(folder.name) for folder in (export / "test").iterdir()),
        "im_size": (camera["width"], camera["height"]),
    }
    info = json.loads((export / "models/models_info.json").read_text())
    objects = {"obj_ids": [int(number) for number in info], "symmetric_obj_ids": []}
    place = str(export.parent), export.name
    table.get_split_params = lambda *_, **__: split(*place, "test") | scenes
    table.get_model_params = lambda *_, **__: models(*place) | objects
    table.scene_tpaths_keys = lambda *_, **__: keys(None, None)


def call(command: list[str]) -> int:
    """Runs `python SCRIPT ARGUMENT ...` here; returns the exit status, as `subprocess.call`."""
    sys.argv = command[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    register(Path(sys.argv[1]))
    subprocess.call = call
    for line in sys.argv[2:]:
        call(["python", *shlex.split(line)])
