"""MUJOCO_GL: checked and chosen before any verb imports MuJoCo."""

import os

import pytest

from opendactyl.cli.verb_list import CHOOSES_GL, VERBS
from opendactyl.cli.verbs import evaluate
from opendactyl.core.atomic_files import read_json, write_json

ARGUMENTS = {
    "dataset": ("--num-samples", "1"),
    "export": ("--vision", "nowhere"),
    "demo": ("--out", "."),
    "object": ("show", "block"),
    "hand": ("show", "shadow"),
    "scene": ("show", "file"),
    "evaluate": ("--pose", "vision"),
}
"""Arguments with which a verb gets as far as importing MuJoCo, if it does; the demo's folder is not
empty."""
STOP = """
import os, sys

class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == "mujoco":
            raise SystemExit("MuJoCo is imported with MUJOCO_GL=" + os.environ.get("MUJOCO_GL", ""))
        if name == "torch" and "--help" in sys.argv:
            raise SystemExit("torch, which takes seconds, is imported for a help")

sys.meta_path.insert(0, Stop())
from opendactyl.cli.main import main
from opendactyl.render.opengl import backend
backend.probe = lambda name: backend.Probe(name, True, "llvmpipe")
main(sys.argv[1:])
"""


@pytest.fixture
def run(python, tmp_path):
    """Runs a verb in an empty folder, up to its first import of MuJoCo."""

    def start(*arguments, options=None, **environment):
        known = {
            k: v for k, v in os.environ.items() if k not in ("MUJOCO_GL", "OPENDACTYL_GL_PROBED")
        }
        (tmp_path / "file").touch()
        return python(
            "-c", STOP, *arguments, cwd=tmp_path, env=known | environment, **(options or {})
        )

    return start


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "doctor"])
def test_an_unknown_value_is_one_line(run, verb):
    done = run(verb, *ARGUMENTS.get(verb, ()), MUJOCO_GL="vulcan")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("opendactyl: MUJOCO_GL is 'vulcan'; it must be one of egl, osmesa, glfw")


@pytest.mark.parametrize(
    ("verb", "value", "chosen"),
    [(verb, "", "egl") for verb in (*CHOOSES_GL[1:], "train-policy")]
    + [(verb, " OSMesa ", "osmesa") for verb in CHOOSES_GL[1:] if verb != "train-vision"],
)
def test_the_backend_is_chosen_before_mujoco_is_imported(run, verb, value, chosen):
    done = run(verb, *ARGUMENTS.get(verb, ()), MUJOCO_GL=value)
    if verb == "train-policy":
        chosen = "disable"
    if verb in ("train-vision", "demo"):  # they import no MuJoCo themselves
        assert "MuJoCo" not in done.stderr
    else:
        # `bench` has announced its time.
        assert done.stderr.splitlines()[-1] == f"MuJoCo is imported with MUJOCO_GL={chosen}"


@pytest.mark.parametrize("verb", VERBS)
def test_help_needs_neither_opengl_nor_torch(run, verb):
    without_torch = {"libraries": ("numpy", "scipy.spatial", "tyro")}
    done = run(verb, "--help", options=without_torch, MUJOCO_GL="vulcan")
    if done.stderr != "MuJoCo is imported with MUJOCO_GL=disable\n":
        assert done.returncode == 0 and done.stderr == ""
        assert done.stdout.startswith("usage:")


@pytest.mark.parametrize("value", ["disable", " Disabled", "off", "FALSE", "0"])
def test_what_renders_refuses_a_disabled_opengl(run, value):
    for verb in ("dataset", "run"):
        done = run(verb, MUJOCO_GL=value)
        assert done.returncode == 2
        assert "but this command renders" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_imitation_with_the_true_pose_renders_nothing():
    assert not evaluate._renders(["--imitate", "recording"])
    assert evaluate._renders(["--imitate", "recording", "--pose", "vision"])
    assert evaluate._renders([]) and not evaluate._renders(["--video-seconds", "0"])


def test_mining_needs_opengl_with_every_renderer(run, dataset, tmp_path):
    settings = {"renderer": "filament", "states": "mined:nowhere"}
    generating = ("dataset", "--renderer", "filament", "--states", "mined:nowhere")
    manifest = read_json(dataset / "manifest.json")
    manifest["config"] |= settings
    write_json(tmp_path / "manifest.json", manifest)
    for arguments in (generating, ("dataset", "--repair", ".")):
        assert "but this command renders" in run(*arguments, MUJOCO_GL="disable").stderr
        done = run(*arguments, MUJOCO_GL="")
        assert done.stderr == "MuJoCo is imported with MUJOCO_GL=egl\n"
    done = run("dataset", "--renderer", "filament", MUJOCO_GL="disable")
    assert done.stderr == "MuJoCo is imported with MUJOCO_GL=disable\n"


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (("train-policy",), "disable"),
        (("evaluate", "--video-seconds", "0"), " Off"),
        (("evaluate", "--film-seconds=0"), "glfw"),
    ],
)
def test_what_does_not_render_needs_no_opengl(run, arguments, value):
    done = run(*arguments, MUJOCO_GL=value)
    assert done.stderr == "MuJoCo is imported with MUJOCO_GL=disable\n"


@pytest.mark.parametrize("verb", ["dataset", "run", "evaluate"])
def test_a_backend_without_context_is_a_failure_of_the_environment(opendactyl, tmp_path, verb):
    done = opendactyl(verb, cwd=tmp_path, MUJOCO_GL="glfw", DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("opendactyl: MUJOCO_GL=glfw opens no OpenGL context (no display")
    assert not list(tmp_path.iterdir())


def test_the_true_pose_is_evaluated_without_opengl(opendactyl, bundle, tmp_path):
    options = ("--bundle", bundle, "--episodes", 1, "--seconds-per-goal", 0.2)
    done = opendactyl("evaluate", *options, "--video-seconds", 0, cwd=tmp_path, MUJOCO_GL="disable")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/evaluate/results.json").exists()
