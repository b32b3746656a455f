"""Fixtures that import calibrations."""

import json

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rig import load_rig
from opendactyl.geometry.rig_import.convert import ImportOptions, to_rig
from opendactyl.geometry.rig_import.formats import read_calibration
from opendactyl.geometry.rig_import.rig_toml import write_rig


@pytest.fixture
def to_rig_of(tmp_path):
    """Writes files and imports them: the rig and the report."""

    def run(files, format_name=None, **options):
        paths = []
        for name, content in files.items():
            paths.append(tmp_path / name)
            paths[-1].write_text(content if isinstance(content, str) else json.dumps(content))
        name, calibration = read_calibration(paths, format_name)
        rig, lines = to_rig(calibration, "rig", ImportOptions(**options))
        return rig, f"{name}\n" + "\n".join(lines)

    return run


@pytest.fixture
def convert(tmp_path, to_rig_of):
    """Imports files and reads the written rig file: cameras by name, and the report."""

    def run(files, **options):
        rig, report = to_rig_of(files, **options)
        out = tmp_path / f"rig{len(list(tmp_path.glob('rig*.toml')))}.toml"
        write_rig(rig, out, "test")
        read = load_rig(out)
        for before, after in zip(rig.cameras, read.cameras, strict=True):
            np.testing.assert_allclose(after.cam_from_hand, before.cam_from_hand, atol=1e-12)
            np.testing.assert_array_equal(after.K, before.K)
            assert after.distortion == before.distortion
        return {camera.name: camera for camera in read.cameras}, report

    return run


@pytest.fixture
def refused(to_rig_of):
    """Imports files that must be refused in one line."""

    def run(files, reason, format_name=None, **options):
        with pytest.raises(InputError, match=reason) as caught:
            to_rig_of(files, format_name, **options)
        assert "\n" not in str(caught.value)

    return run
