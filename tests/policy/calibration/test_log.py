"""Logs: columns, units, and what is refused."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.policy.calibration.log import Log, check, join, read_log
from opendactyl.policy.calibration.simulation import empty_scene

CLAW = Path(__file__).parents[2] / "hands"


@pytest.fixture(scope="module")
def scene():
    return empty_scene(str(CLAW / "claw.toml"))


@pytest.fixture(scope="module")
def good(scene):
    """24 s at 50 Hz of slow sines within the ranges."""
    time = np.arange(0, 24, 0.02)
    targets = 0.35 + 0.5 * np.sin(time[:, None] * [0.5, 0.7, 0.9, 1.1])
    joints = 0.35 + 0.4 * np.sin(time[:, None] * [0.5, 0.7, 0.9, 0.3, 1.1, 1.3])
    return Log("log x", time, targets, joints)


def write(path, log, scene, **replaced):
    hand = scene.hand
    names = ["time", *(f"target_{a}" for a in hand.actuators), *(f"joint_{j}" for j in hand.joints)]
    columns = dict(zip(names, np.c_[log.time, log.targets, log.joints].T, strict=True)) | replaced
    rows = [",".join(map(repr, map(float, row))) for row in np.stack(list(columns.values()), 1)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    return path


def test_a_log_is_read_and_incomplete_rows_are_left_out(scene, good, tmp_path):
    path = write(tmp_path / "log.csv", good, scene)
    lines = path.read_text().splitlines()
    lines[3] = ",".join(["0.04", *[""] * (len(lines[3].split(",")) - 1)])
    path.write_text("\n".join(lines))
    log = read_log(path, scene)
    kept = np.delete(np.arange(len(good.time)), 2)
    np.testing.assert_allclose(log.time, good.time[kept])
    np.testing.assert_allclose(log.targets, good.targets[kept])
    np.testing.assert_allclose(log.joints, good.joints[kept])
    assert log.velocities is None and log.efforts is None


def test_the_file_of_the_hand_names_columns_and_units(good, scene, tmp_path):
    for name in ("claw.toml", "claw.xml"):
        shutil.copy(CLAW / name, tmp_path)
    hand = tmp_path / "claw.toml"
    hand.write_text(
        hand.read_text() + '\n[log]\ntime = "stamp"\ntime_unit = "ms"\nangle_unit = "deg"\n'
        'joint = "pos {}"\nnames = { one_tip = "first" }\neffort = "tau_{}"\n'
    )
    degrees = dataclasses.replace(
        good, time=1e3 * good.time + 7, targets=np.rad2deg(good.targets),
        joints=np.rad2deg(good.joints),
    )  # fmt: skip
    torques = {
        f"tau_{a}": np.full(len(good.time), 0.1 * n) for n, a in enumerate(scene.hand.actuators)
    }
    path = write(tmp_path / "log.csv", degrees, scene, **torques)
    text = path.read_text().replace("time,", "stamp,", 1).replace("joint_one_tip", "pos first")
    path.write_text(text.replace("joint_", "pos "))
    log = read_log(path, empty_scene(str(hand)))
    np.testing.assert_allclose(log.time, good.time, atol=1e-9)
    np.testing.assert_allclose(log.joints, good.joints)
    np.testing.assert_allclose(log.efforts[0], [0, 0.1, 0.2, 0.3])


def test_parquet_is_read_as_csv_is(scene, good, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    names = write(tmp_path / "log.csv", good, scene).read_text().splitlines()[0].split(",")
    columns = np.c_[good.time, good.targets, good.joints].T
    parquet.write_table(
        pyarrow.table(dict(zip(names, columns, strict=True))), tmp_path / "l.parquet"
    )
    one, other = (read_log(tmp_path / name, scene) for name in ("log.csv", "l.parquet"))
    np.testing.assert_array_equal(one.joints, other.joints)


def changed(log, scene, what):
    """A bad log of each kind."""
    low, high = scene.actuator_range.T
    time = log.time.copy()
    time[500:] -= 3
    still = np.full_like(log.joints, 0.3)
    return {
        "no motion": dataclasses.replace(log, joints=still),
        "saturated": dataclasses.replace(
            log, targets=np.where(np.sin(3 * log.time)[:, None] > 0, high, low)
        ),
        "degrees": dataclasses.replace(
            log, joints=np.rad2deg(log.joints), targets=np.rad2deg(log.targets)
        ),
        "another hand": dataclasses.replace(log, joints=log.joints + 3),
        "backwards": dataclasses.replace(log, time=time),
        "short": dataclasses.replace(log, time=log.time / 10),
        "slow": dataclasses.replace(log, time=log.time * 10),
    }[what]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no motion", "has no motion: no joint moves by more than 0.000 rad"),
        ("saturated", "is saturated: 100% of the targets are at the ends of their ranges"),
        ("degrees", 'look like degrees; set angle_unit = "deg"'),
        ("another hand", "is of another hand, or its columns are mixed up: [a-z]+_[a-z]+ is from"),
        ("backwards", "the clock runs backwards or stops after row 500 .at 9.98"),
        ("short", "record at least 20 s at 32 Hz"),
        ("slow", "record at least 20 s at 32 Hz"),
    ],
)
def test_logs_that_cannot_be_used_are_refused_with_the_reason(good, scene, what, message):
    check(good, scene)
    with pytest.raises(InputError, match=message) as error:
        check(changed(good, scene, what), scene)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has 0 columns in its first line"),
        ("time,a\n1,2\n", "has no column 'target_m1' .it has time, a.: it is of another hand"),
        ("time,a\n1,2\n1,2,3\n", "is not a CSV file"),
        ("time\n1,2\n", "has 1 columns in its first line"),
    ],
)
def test_files_of_other_content_are_refused(scene, tmp_path, content, message):
    path = tmp_path / "log.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_log(path, scene)


def test_missing_files_are_refused(scene, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_log(tmp_path / "nowhere.csv", scene)


def test_logs_are_joined_with_gaps(good):
    both = join([good, good])
    assert len(both.time) == 2 * len(good.time)
    assert both.time[len(good.time)] - both.time[len(good.time) - 1] == pytest.approx(10)
    with pytest.raises(InputError, match="some of the logs have efforts"):
        join([good, dataclasses.replace(good, efforts=good.targets)])
