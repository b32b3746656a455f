"""Ratios, alternating measurements, the description of the machine, and the written file."""

import json
import platform
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from opendactyl.benchmarks import machine, report
from opendactyl.benchmarks.machine import describe_machine
from opendactyl.benchmarks.measure import Budget, Row, side_by_side, speed
from opendactyl.benchmarks.report import run_suites, table
from opendactyl.benchmarks.support.rendering import psnr, ssim
from opendactyl.core.errors import InputError

BUNDLE = Path(__file__).parents[2] / "pretrained/spin"


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


@pytest.fixture
def suites(monkeypatch):
    """Replaces the suites by ones that take no time; returns the names of those that ran."""
    ran = []

    def import_module(name):
        suite = name.rpartition(".")[2]

        def run(budget):
            ran.append(suite)
            if suite == "vision" and len(ran) == 2:
                raise KeyboardInterrupt
            return [_row(name=f"{suite}/speed", lower_is_better=suite == "loop")]

        return SimpleNamespace(run=run)

    monkeypatch.setattr(report, "import_module", import_module)
    return ran


def test_the_instruction_set_stands_above_each_table(suites, tmp_path):
    lines = []
    run_suites(("env",), Budget(), tmp_path / "bench.json", lines.append)
    assert f"cores, {machine.instruction_set()})" in lines[0]
    assert "env/speed" in lines[1]


def test_an_interrupted_run_is_resumed(suites, tmp_path, capsys):
    out = tmp_path / "bench.json"
    names = ("env", "vision", "loop")
    with pytest.raises(KeyboardInterrupt):
        run_suites(names, Budget(), out, print)
    assert "at most 15 minutes; " in capsys.readouterr().err
    result = run_suites(names, Budget(), out, print, resume=True)
    assert suites == ["env", "vision", "vision", "loop"]
    assert "at most 10 minutes; " in capsys.readouterr().err, "of the two that are missing"
    assert [row["name"] for row in result["rows"]] == [f"{name}/speed" for name in names]
    assert [row["ratio"] for row in result["rows"]] == [2.0, 2.0, 0.5]
    assert json.loads(out.read_text()) == result


@pytest.mark.parametrize(
    ("names", "budget", "minutes"),
    [
        (("env", "loop"), Budget(), 10),
        (("env",), Budget(seconds=5.0), 5),
        (("env",), Budget(seconds=300.0), 50),
        (("policy",), Budget(full=True), 45 + 1.1 * (3 * 10 + 3 * 7 * 60)),
    ],
)
def test_the_announced_time_follows_suites_and_seconds(names, budget, minutes):
    assert report.longest(names, budget) == pytest.approx(60 * minutes)


def test_finished_results_of_an_interrupted_suite_are_not_repeated(tmp_path, monkeypatch):
    out, measured = tmp_path / "bench.json", []

    def work(number):
        if number == 1 and not measured.count(1):
            measured.append(number)
            raise KeyboardInterrupt
        measured.append(number)
        return {"minutes": number}

    def run(budget):
        first = budget.partial.row("policy/first", lambda: work(7) and _row(name="policy/first"))
        later = [budget.partial.once(f"seed {i}", lambda i=i: work(i)) for i in range(3)]
        return [first, _row(name="policy/long", extra={"later": later})]

    monkeypatch.setattr(report, "import_module", lambda _: SimpleNamespace(run=run))
    with pytest.raises(KeyboardInterrupt):
        run_suites(("policy",), Budget(), out, print)
    assert json.loads(out.read_text())["partial"]["policy"].keys() == {"policy/first", "seed 0"}
    result = run_suites(("policy",), Budget(), out, print, resume=True)
    assert measured == [7, 0, 1, 1, 2], "the interrupted one is measured again, no other"
    assert result["rows"][1]["later"] == [{"minutes": i} for i in range(3)]
    assert json.loads(out.read_text()) == result, "finished suites have no partial results"


def test_other_settings_or_machines_are_not_continued(suites, tmp_path, monkeypatch):
    out = tmp_path / "bench.json"
    run_suites(("env",), Budget(), out, print)
    with pytest.raises(InputError, match="full: False there, True now"):
        run_suites(("loop",), Budget(full=True), out, print, resume=True)
    with pytest.raises(InputError, match="realtime: 'auto' there, 'off' now"):
        run_suites(("loop",), Budget(realtime="off"), out, print, resume=True)
    with pytest.raises(InputError, match="networks: None there"):
        run_suites(("loop",), Budget(bundle=BUNDLE), out, print, resume=True)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    with pytest.raises(InputError, match="instruction_set"):
        run_suites(("loop",), Budget(), out, print, resume=True)
    assert suites == ["env"]


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "bench.json").write_text("{}")
    with pytest.raises(InputError, match="exists"):
        run_suites(("loop",), Budget(), tmp_path / "bench.json", print)
    assert (tmp_path / "bench.json").read_text() == "{}"


def test_an_unknown_suite_lists_all_suites(tmp_path):
    with pytest.raises(InputError, match="render, env, vision, policy, loop"):
        run_suites(("speed",), Budget(), tmp_path / "bench.json", print)
    assert list(tmp_path.iterdir()) == []


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
