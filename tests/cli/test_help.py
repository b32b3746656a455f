"""Every verb has help with its options, and a target of the same name in the Makefile."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from opendactyl.cli.main import main
from opendactyl.cli.verb_list import VERBS

ROOT = Path(__file__).resolve().parents[2]
# Options that external scripts depend on.
OPTIONS = {
    "doctor": (),
    "dataset": (
        "--out", "--num-samples", "--seed", "--workers", "--renderer", "--states", "--appearance",
        "--rig", "--object", "--hand", "--image-size", "--shard-size", "--resume",
    ),
    "preview": ("--data", "--out"),
    "train-vision": (
        "--data", "--val-data", "--out", "--model", "--max-minutes", "--accelerator", "--resume",
    ),
    "eval-vision": ("--model", "--data", "--out"),
    "train-policy": (
        "--out", "--task", "--memory", "--randomization", "--num-envs", "--max-minutes", "--resume",
        "--ray", "--object", "--hand",
    ),
    "train-imitation": ("--out", "--max-minutes", "--resume", "--demonstrations"),
    "demonstrate": ("--program", "--out", "--renderer", "--seed"),
    "export": ("--vision", "--policy", "--imitation", "--out"),
    "estimate": ("--bundle", "--images", "--live", "--rig", "--out"),
    "evaluate": (
        "--bundle", "--pose", "--task", "--appearance", "--renderer", "--episodes", "--seed",
        "--out", "--resume", "--randomization", "--imitate",
    ),
    "run": ("--bundle", "--pose", "--video", "--imitate"),
    "view": ("--bundle", "--port"),
    "bench": ("--suite", "--out", "--full", "--resume"),
    "demo": ("--out", "--resume"),
}  # fmt: skip


def output_of(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 0
    captured = capsys.readouterr()
    assert not captured.err
    return captured.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_its_options(capsys, monkeypatch, verb):
    monkeypatch.setenv("COLUMNS", "100")
    help_text = output_of(capsys, verb, "--help")
    assert help_text.startswith(f"usage: opendactyl {verb}")
    for option in OPTIONS.get(verb, ()):
        assert re.search(rf"{option}(?![\w-])", help_text), option


@pytest.mark.parametrize("arguments", [(), ("--help",), ("help",)])
def test_help_lists_every_verb_and_the_debug_option(capsys, arguments):
    help_text = output_of(capsys, *arguments)
    for verb, what in VERBS.items():
        assert re.search(rf"^  {verb} +{what}$", help_text, re.MULTILINE)
    assert "--debug" in help_text and "OPENDACTYL_DEBUG=1" in help_text


def test_version_is_that_of_the_distribution(capsys):
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", output_of(capsys, "--version"))


def test_every_module_with_a_main_is_a_verb():
    modules = {
        path.stem.replace("_", "-")
        for path in (ROOT / "cli/verbs").glob("*.py")
        if re.search(r"^def main\(", path.read_text(), re.MULTILINE)
    }
    assert modules == set(VERBS)


def test_the_makefile_has_a_target_for_each_verb():
    text = (ROOT / "Makefile").read_text()
    rule = re.search(
        r"^([a-z -]+): \$\(STAMP\)\n\t\$\(BIN\)/opendactyl \$@ \$\(ARGS\)$", text, re.M
    )
    assert rule is not None
    assert set(rule[1].split()) == set(VERBS)
    phony = re.search(r"^\.PHONY: ((?:[^\n\\]|\\\n)*)", text, re.M)
    assert phony is not None
    assert set(VERBS) <= set(phony[1].replace("\\\n", " ").split())


def test_make_help_lists_every_target_once():
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True)
    listed = re.findall(r"^  ([a-z-]+) +\S", done.stdout, re.M)
    others = [
        "help",
        "setup",
        "ablation",
        "docs",
        "test",
        "test-slow",
        "check",
        "format",
        "lint",
        "type",
        "clean",
        "site",
        "build",
    ]
    assert sorted(listed) == sorted([*VERBS, *others])
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_can_be_piped_to_head(tmp_path):
    command = f"{sys.executable} -P -m opendactyl.cli.main train-policy --help | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage: opendactyl train-policy")
    assert not done.stderr


def test_a_missing_package_is_named_with_its_remedy(python, tmp_path):
    code = (
        "import sys; sys.modules['tyro'] = None\n"
        "from opendactyl.cli.main import main\n"
        "main(['preview'])"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("opendactyl: preview needs tyro, which is not installed; `make")
    assert len(done.stderr.splitlines()) == 1


def test_a_closed_pipe_is_no_error(bundle):
    command = [sys.executable, "-P", "-m", "opendactyl.cli.main", "export", "--check", str(bundle)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1
    process.stderr.close()
