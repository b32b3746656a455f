"""Every command in the documentation: its options are valid, and at toy size it runs."""

import os
import re
import runpy
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
NAME = re.compile(r"opendactyl (VERB|estimate|demonstrate|(rig|object|hand|scene) [a-z-]+)")
"""What a sentence calls a verb, without its arguments."""
PLACEHOLDERS = {
    "--data …": "--data data/val", "--against …": "--against runs/other",
    "probe RUN": "probe runs/policy-spin", "--images DIR": "--images my-frames",
}  # fmt: skip
PROGRAM_OF_TARGET = {"ablation": "opendactyl.benchmarks.studies.ablations"}
RUN_ELSEWHERE = {
    **dict.fromkeys(("allegro", "claw.toml"), "tests/control/packaging/test_hands.py runs a chain"),
    "runs/keypoint": "tests/vision/evaluation/test_foreign_data.py evaluates such a run",
    **dict.fromkeys(("record-plan", "fit", "runs/hand/ranges.toml"), "tests/policy/calibration"),
    **dict.fromkeys(("bench", "demo"), "tests/benchmarks/peers and tests/cli/test_demo.py run it"),
    **dict.fromkeys(("mug.toml", "runs/mug"), "tests/cli/test_object.py uses an object's file"),
    **dict.fromkeys(("my-frames", "some-seconds"), "tests/cli/test_estimate.py, test_rig_check.py"),
    "my-rig.toml": "tests/cli/test_rig.py imports a calibration",
    **dict.fromkeys(("examples/trifinger/cube.toml", "data/cube"), "needs a robot's model"),
    **dict.fromkeys(("runs/cube", "photographs"), "tests/examples/test_trifinger.py"),
    "view": "runs until interrupted; tests/control/viewer tests it", "--ray": "needs a cluster",
    "runs/other": "tests/control/evaluation/test_evaluate.py compares evaluations",
    **dict.fromkeys(("msat", "runs/msat", "exports/msat"), "tests/control/evaluation runs a chain"),
    **{
        f"opendactyl.benchmarks.studies.{name}": "tests/ runs it at toy size"
        for name in ("ablations", "adr", "calibrated_policy", "calibration", "endurance",
                     "imitation", "msat", "stored_frames", "wiring")
    },
    "opendactyl.policy.probe": "tests/policy/test_probe.py runs it at toy size",
}  # fmt: skip
"""Words whose commands are parsed only, with the reason."""
SIZES = {
    "dataset": {"--num-samples": 20, "--shard-size": 10, "--image-size": 64, "--workers": 1,
                "--rig": "dactyl-200"},
    "train-vision": {"--image-size": 64, "--batch-size": 4, "--max-epochs": 1, "--max-minutes": 5,
                     "--workers": 0, "--accelerator": "cpu"},
    "train-policy": {
        "--num-envs": 8, "--horizon": 4, "--minibatches": 2, "--epochs": 1, "--eval-episodes": 2,
        "--max-minutes": 0.03,
    },
    "train-imitation": {"--tracks": 8, "--max-minutes": 0.3}, "run": {"--seconds": 0.4},
    "evaluate": {"--episodes": 1, "--seconds-per-goal": 0.4, "--video-seconds": 0.4},
    "opendactyl.benchmarks.studies.memory": {
        "--actions": 20_000, "--teacher-actions": 20_000, "--seeds": 1, "--episodes": 2},
}  # fmt: skip
"""Options that replace those of the documentation."""
OUTPUTS = {"dataset": ("data/train", "data/val"), "train-vision": ("runs/vision",),
           "train-policy": ("runs/policy-spin",)}  # fmt: skip
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
    commands = [[w for line in block if (w := words(line))] for block in found]
    before = []
    for span in re.findall(r"`([^`]+)`", "\n".join(prose)):
        # In tables, an ellipsis stands for the verb of the command before.
        command = words(" ".join([*before[:2], span[2:]]) if span.startswith("… ") else span)
        before = command or before
        commands.append([command] * bool(command))
    return [block for block in commands if block]


def words(line):
    """A command as `opendactyl VERB …` or `python MODULE …`; empty for anything else."""
    line = " ".join(line.partition("#")[0].split())
    if not COMMAND.match(line) or NAME.fullmatch(line):
        return []
    for placeholder, value in PLACEHOLDERS.items():
        line = line.replace(placeholder, value)
    found = [word.split("|")[0] for word in shlex.split(line)]
    if found[0] == "make":
        target, arguments = found[1], [word.partition("=")[2] for word in found[2:]]
        options = shlex.split(arguments[0]) if arguments else []
        if target in PROGRAM_OF_TARGET:
            return ["python", PROGRAM_OF_TARGET[target], *options]
        return ["opendactyl" if target in VERBS else "make", target, *options]
    if found[0] == "python":
        return ["python", *found[found.index("-m") + 1 :]]
    return ["opendactyl", *found[1:]]


BLOCKS = {
    "; ".join(map(shlex.join, block)): block
    for page in PAGES
    for block in blocks(page.read_text(encoding="utf-8"))
}
COMMANDS = {shlex.join(command): command for block in BLOCKS.values() for command in block}
PARSED = [c for c in COMMANDS.values() if c[0] == "opendactyl" and "--check" not in c]
PROGRAMS = [c for c in COMMANDS.values() if c[0] == "python"]


def runs_elsewhere(command):
    return command[0] == "make" or not RUN_ELSEWHERE.keys().isdisjoint(command)


def test_the_commands_are_found():
    assert len(PARSED) > 45
    for known in (
        "opendactyl dataset --num-samples 50000 --appearance wide",
        "opendactyl dataset --verify data/train --repair",
        "opendactyl export --check pretrained/spin",
        "opendactyl evaluate --bundle pretrained/spin --seed 31 --randomization dactyl-loguniform",
        "python opendactyl.benchmarks.studies.ablations base views-1",
        "python opendactyl.policy.probe runs/policy-spin",
    ):
        assert known in COMMANDS


def test_the_files_that_ship_exist():
    named = (word.rpartition(":")[2] for command in COMMANDS.values() for word in command)
    shipped = {word for word in named if word.startswith("pretrained/")}
    assert len(shipped) > 3
    assert not [word for word in shipped if not (ROOT / word).exists()]


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
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {c[1] for c in COMMANDS.values() if c[0] == "make"} | set(PROGRAM_OF_TARGET)
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    assert targets <= set(re.findall(r"^  ([a-z-]+) ", done.stdout, re.M))
    assert "test" in targets
    for target, module in PROGRAM_OF_TARGET.items():
        assert re.search(rf"^{target}:.*\n\t.*python -m {module} \$\(ARGS\)$", makefile, re.M)


@pytest.mark.parametrize("command", PROGRAMS, ids=shlex.join)
def test_the_options_of_programs_are_valid(command, capsys, monkeypatch):
    _, module, *options = command
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setattr(sys, "argv", [module, *words])
        with pytest.raises(SystemExit) as stop, mock.patch.dict(os.environ):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        return stop.value.code, *capsys.readouterr()

    status, stdout, stderr = run("--help")
    assert not status and not stderr and stdout.startswith("usage:")
    status, _, stderr = run(*options, "--surplus")
    assert status == 2 and re.search(r"Unrecognized options: --surplus\s", stderr), stderr


def at_toy_size(command, folder):
    """A command with the options of `SIZES`; a folder replaces the object store."""
    sizes = SIZES.get(command[1], {})
    if not {"--verify", "--repair", "--export-bop"}.isdisjoint(command):
        sizes = {"--workers": 1}
    if "--imitate" in command:  # which refuses the others
        sizes = {name: sizes[name] for name in ("--episodes", "--seconds") if name in sizes}
    kept, skip = [], False
    for word in command[1:]:
        if not skip and word not in sizes:
            kept.append(word.replace("s3://", f"file://{folder}/"))
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
            named = output in command or "--out" not in command
            if output not in written and named and not maintains:
                shutil.rmtree(workplace / output)
                written.add(output)
        program = ["opendactyl.cli.main"] if command[0] == "opendactyl" else []
        done = subprocess.run(
            [sys.executable, "-P", "-m", *program, *at_toy_size(command, workplace)],
            cwd=workplace, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
