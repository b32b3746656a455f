"""The whole chain for the face cube, at toy size, by the commands."""

import json

import pytest

from opendactyl.control.bundle.load import check_bundle

pytestmark = pytest.mark.slow


def test_the_chain_of_an_articulated_object(face_cube_folder, opendactyl, tmp_path):
    bundle = face_cube_folder / "bundle"
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert [hinge["name"] for hinge in manifest["pose"]["hinges"]] == ["top", "bottom"]
    assert manifest["pose"]["agreement"]["hinges_rad"] < 1e-3
    assert manifest["policy"]["task"] == "rotate-face"
    assert "valid" in check_bundle(bundle)
    for pose in ("sim", "vision"):
        opendactyl(
            tmp_path, "evaluate", "--bundle", bundle, "--pose", pose, "--episodes", 2,
            "--workers", 1, "--seconds-per-goal", 0.5, "--out", f"loop-{pose}",
        )  # fmt: skip
        results = json.loads((tmp_path / f"loop-{pose}/results.json").read_text())
        assert len(results["rotations"]["values"]) == 2
    data = face_cube_folder / "val"
    opendactyl(tmp_path, "eval-vision", "--model", bundle, "--data", data, "--out", "errors")
    errors = json.loads((tmp_path / "errors/metrics.json").read_text())
    assert set(errors["hinge_error_deg"]) == set(errors["coverage_90_hinges"]) == {"top", "bottom"}
    assert "hinge top" in (tmp_path / "errors/report.html").read_text()
