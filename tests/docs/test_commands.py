"""Every command in the documentation: its options are valid, and at toy size it runs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from opendactyl.cli.main import main
from opendactyl.cli.verb_list import VERBS
from opendactyl.datasets.generation.config import DatasetConfig
from opendactyl.datasets.generation.generate import generate

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
COMMAND = re.compile(r"(\.venv/bin/)?opendactyl |make [a-z]|python (-P )?-m ")
PLACEHOLDERS = {"…": "data/val", "RUN": "runs/policy-spin"}
RUN_ELSEWHERE = {
    "bench": "tests/benchmarks/peers/test_peers.py runs every suite",
    "demo": "tests/cli/test_demo.py runs it at toy size",
    "view": "runs until it is interrupted; tests/control/viewer tests it",
    "--ray": "needs a cluster",
    "--upload": "needs an object store",
}
"""Verbs and options whose commands are parsed only, with the reason."""
SIZES = {
    "dataset": {"--num-samples": 20, "--shard-size": 10, "--image-size": 64, "--workers": 1},
    "train-vision": {
        "--image-size": 64, "--batch-size": 4, "--max-epochs": 1, "--max-minutes": 5,
        "--workers": 0, "--accelerator": "cpu",
    },
    "train-policy": {
        "--num-envs": 8, "--horizon": 4, "--minibatches": 2, "--epochs": 1, "--eval-episodes": 2,
        "--max-minutes": 0.03,
    },
    "evaluate": {"--episodes": 1, "--seconds-per-goal": 0.4, "--video-seconds": 0.4},
    "run": {"--seconds": 0.4},
}  # fmt: skip
"""Options that replace those of the documentation."""
OUTPUTS = {
    "dataset": ("data/train", "data/val"),
    "train-vision": ("runs/vision",),
    "train-policy": ("runs/policy-spin",),
}
"""Default outputs of verbs, which are not in the way of a user who follows the documentation."""


def blocks(text):
    """The commands of each code block, and those in code spans, in order."""
    found, fence, prose, previous = [], None, [], ""
    for line in text.splitlines():
        if line.startswith("```"):
            fence = line[3:] if fence is None else None
            found.append([])
        elif fence in ("sh", "bash") or (fence is None and line.startswith("    ")):
            if fence is None and not previous.startswith("    "):
                found.append([])
            found[-1].append(line)
        elif fence is None:
            prose.append(line)
        previous = line
    found += [[span] for span in re.findall(r"`([^`]+)`", "\n".join(prose))]
    return [kept for block in found if (kept := [w for line in block if (w := words(line))])]


def words(line):
    """A command as the words of `opendactyl VERB …` or `python …`; empty for anything else."""
    line = " ".join(line.partition("#")[0].split())
    if not COMMAND.match(line) or line == "opendactyl VERB":
        return []
    found = [PLACEHOLDERS.get(word, word.split("|")[0]) for word in shlex.split(line)]
    if found[0] != "make":
        return ["opendactyl", *found[1:]] if found[0].endswith("opendactyl") else found
    target, arguments = found[1], [word.partition("=")[2] for word in found[2:]]
    options = shlex.split(arguments[0]) if arguments else []
    return ["opendactyl" if target in VERBS else "make", target, *options]


BLOCKS = {
    "; ".join(map(shlex.join, block)): block
    for page in PAGES
    for block in blocks(page.read_text(encoding="utf-8"))
}
COMMANDS = {shlex.join(command): command for block in BLOCKS.values() for command in block}
PARSED = [c for c in COMMANDS.values() if c[0] == "opendactyl" and "--check" not in c]


def runs_elsewhere(command):
    return command[0] != "opendactyl" or not RUN_ELSEWHERE.keys().isdisjoint(command)


def test_the_commands_are_found():
    assert len(PARSED) > 35
    for known in (
        "opendactyl dataset --num-samples 50000 --appearance wide",
        "opendactyl dataset --verify data/train --repair",
        "opendactyl export --check pretrained/spin",
        "make ablation base views-1",
        "python -P -m opendactyl.policy.probe runs/policy-spin",
    ):
        assert known in COMMANDS


@pytest.mark.parametrize("command", PARSED, ids=shlex.join)
def test_the_options_are_valid(command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop, mock.patch.dict(os.environ):
        main([*command[1:], "--surplus"])
    stderr = capsys.readouterr().err
    assert stop.value.code == 2
    expected = r"(Unrecognized options: --surplus|doctor takes no options; --surplus was given)\s"
    assert re.search(expected, stderr), stderr


def test_the_targets_exist():
    targets = {c[1] for c in COMMANDS.values() if c[0] == "make"}
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    assert targets <= set(re.findall(r"^  ([a-z-]+) ", done.stdout, re.M))
    assert {"test", "ablation"} <= targets


PROGRAMS = {c[c.index("-m") + 1] for c in COMMANDS.values() if c[0] == "python"}


@pytest.mark.parametrize("module", sorted({*PROGRAMS, "opendactyl.benchmarks.studies.ablations"}))
def test_programs_have_help(module, tmp_path):
    def run(option):
        command = [sys.executable, "-P", "-m", module, option]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:") and not done.stderr
    wrong = run("--surplus")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def at_toy_size(command):
    """A command with the options of `SIZES`."""
    verb = command[1]
    sizes = SIZES.get(verb, {})
    if not {"--verify", "--repair", "--export-bop"}.isdisjoint(command):
        sizes = {"--workers": 1}
    kept, skip = [], False
    for word in command[1:]:
        if not skip and word not in sizes:
            kept.append(word)
        skip = word in sizes
    return kept + [str(word) for pair in sizes.items() for word in pair]


@pytest.fixture
def workplace(tmp_path, dataset, val_dataset, vision_run, policy_run, bundle):
    """A folder with toy inputs at the default paths, and what ships."""
    for source, path in (
        (dataset, "data/train"), (val_dataset, "data/val"), (vision_run, "runs/vision"),
        (policy_run, "runs/policy-spin"), (bundle, "exports/bundle"),
    ):  # fmt: skip
        shutil.copytree(source, tmp_path / path)
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    return tmp_path


@pytest.fixture
def large_data(home, once):
    """A dataset with images of the size that the shipped estimator needs."""

    def render(out):
        generate(DatasetConfig(out=out, num_samples=2, image_size=128, workers=1))

    return once(home / "large", render)


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS.values() if not all(map(runs_elsewhere, block))],
    ids=lambda block: "; ".join(map(shlex.join, block)),
)
def test_it_runs(block, workplace, large_data):
    if any("eval-vision" in command and "--model" in command for command in block):
        shutil.rmtree(workplace / "data/val")
        shutil.copytree(large_data, workplace / "data/val")
    written = set()
    for command in block:
        if runs_elsewhere(command):
            continue
        for output in OUTPUTS.get(command[1], ()):
            maintains = not {"--verify", "--repair", "--export-bop"}.isdisjoint(command)
            if output not in written and "--out" not in command and not maintains:
                shutil.rmtree(workplace / output)
                written.add(output)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "opendactyl.cli.main", *at_toy_size(command)],
            cwd=workplace, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
