"""Ratios, alternating measurements, the description of the machine, and similarity of images."""

import json
import platform
import time

import numpy as np
import pytest

from opendactyl.benchmarks import machine
from opendactyl.benchmarks.machine import describe_machine
from opendactyl.benchmarks.measure import Row, side_by_side, speed
from opendactyl.benchmarks.report import table
from opendactyl.benchmarks.support.rendering import psnr, ssim


def _row(**overrides):
    values = {"name": "a/b", "ours": 20.0, "peer": 10.0, "peer_name": "other", "unit": "x/s"}
    return Row(**values | overrides)


def test_a_ratio_above_one_is_better_for_every_unit():
    assert _row().ratio == 2.0
    assert _row(lower_is_better=True).ratio == 0.5


def test_a_row_has_all_keys_and_can_be_read_back():
    value = _row(extra={"p50": 1.0}).to_dict()
    assert set(value) == {"name", "ours", "peer", "peer_name", "unit", "ratio", "p50"}
    assert Row.from_dict(json.loads(json.dumps(value))) == _row(extra={"p50": 1.0})
    latency = _row(lower_is_better=True, extra={})
    assert Row.from_dict(latency.to_dict()) == latency


def test_both_sides_get_equal_time_and_the_first_portion_does_not_count():
    calls = []

    def job(name, seconds, units):
        first = []

        def work():
            calls.append(name)
            # The first portion is ten times as slow, like a warm-up.
            time.sleep(seconds if first else 10 * seconds)
            first.append(1)
            return units

        return work

    ours, peer = side_by_side(job("ours", 0.01, 4.0), job("peer", 0.03, 4.0), 0.3)
    assert 1.8 < ours / peer < 4.0
    # Equal time, so about three times as many portions of the faster one.
    assert calls.count("ours") > 2 * calls.count("peer") - 2
    assert calls[:2] == ["ours", "peer"]


def test_preparation_is_not_counted():
    prepared = []

    def work():
        assert prepared.pop() == "slept"
        time.sleep(0.01)
        return 1.0

    def prepare():
        time.sleep(0.02)
        prepared.append("slept")

    ours, _ = side_by_side(work, work, 0.05, (prepare, prepare))
    assert ours > 50, "with the preparation it would be below 34"


def test_speed_counts_units():
    def work():
        time.sleep(0.01)
        return 5.0

    assert 200 < speed(work, 5) < 500


def test_the_table_has_every_row_and_its_peer():
    text = table([_row(), _row(name="c/d", ours=1234.5)])
    assert "a/b" in text
    assert "2.00" in text
    assert "1,234.5" in text
    assert text.count("peer is other") == 2
    assert max(map(len, text.splitlines())) < 100


def test_the_machine_is_described_without_its_name():
    value = describe_machine()
    assert value["cores"] >= 1
    assert value["memory_gib"] > 0.1
    assert value["versions"]["mujoco"]
    import socket

    assert socket.gethostname() not in json.dumps(value) or len(socket.gethostname()) < 4


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2 fma", "AVX2"),
        ("flags\t\t: fpu avx2 avx512f avx512bw", "AVX-512"),
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", "AVX-512 bf16"),
        ("flags\t\t: avx2 avx512f avx512_bf16 amx_bf16 amx_tile", "AMX bf16"),
        ("Features\t: fp asimd", "NEON"),
        ("flags\t\t: fpu sse2", platform.machine()),
        ("", platform.machine()),
    ],
)
def test_the_instruction_set_is_the_widest_one(tmp_path, monkeypatch, flags, expected):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A CPU\n{flags}\n")
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    description = describe_machine()
    assert description["instruction_set"] == expected
    assert description["processor"] == "A CPU"


def test_without_cpuinfo_the_architecture_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.instruction_set() == platform.machine()


def test_psnr_by_hand():
    a = np.full((2, 8, 8, 3), 100, dtype=np.uint8)
    assert psnr(a, a) == float("inf")
    # An error of 10 everywhere: 20 log10(255 / 10).
    assert psnr(a, a + np.uint8(10)) == pytest.approx(28.1308, abs=1e-3)


def test_ssim_is_one_for_equal_images_and_falls_with_noise():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    assert ssim(a, a) == pytest.approx(1.0)
    slightly = np.clip(a + rng.normal(0, 5, a.shape), 0, 255).astype(np.uint8)
    strongly = np.clip(a + rng.normal(0, 60, a.shape), 0, 255).astype(np.uint8)
    assert 1 > ssim(slightly, a) > ssim(strongly, a) > 0


def test_ssim_of_flat_images_by_hand():
    # Without variance only the means count: (2ab + c1) / (a² + b² + c1).
    a, b = (np.full((16, 16, 3), value, dtype=np.uint8) for value in (100, 150))
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))
