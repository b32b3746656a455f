"""Suites that are run, interrupted and resumed, and what the written file keeps of them."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from opendactyl.benchmarks import machine, report
from opendactyl.benchmarks.measure import Budget, Row
from opendactyl.benchmarks.report import run_suites
from opendactyl.core.errors import InputError

BUNDLE = Path(__file__).parents[2] / "pretrained/spin"


def _row(**overrides):
    values = {"name": "a/b", "ours": 20.0, "peer": 10.0, "peer_name": "other", "unit": "x/s"}
    return Row(**values | overrides)


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
