"""Strategies of malformed files and command lines, and what reads them."""

import copy
import io
import json
import os
import tomllib
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from opendactyl.cli.main import main
from opendactyl.cli.verb_list import VERBS
from opendactyl.control.bundle.load import check_bundle
from opendactyl.control.recordings.cameras import RecordedCameras
from opendactyl.control.runtime.interfaces import EndOfRecording
from opendactyl.core.config_fields import to_toml
from opendactyl.datasets.format.label import Label
from opendactyl.datasets.format.manifest import load_manifest
from opendactyl.datasets.format.shards import read_labels, read_shard
from opendactyl.geometry.rig import load_rig
from opendactyl.policy.randomization.config import RandomizationConfig, load_randomization
from opendactyl.render.appearance.config import AppearanceConfig, load_appearance
from opendactyl.sim.hands.shipped import hand_spec
from opendactyl.sim.objects.shipped import object_spec
from opendactyl.sim.scenery.reference import scenery

ROOT = Path(__file__).parents[2]
LARGE = 10**7
"""Numbers beyond it are not given to options that a command allocates by."""

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["", "../../escape", "/dev/null", "\x00", "nan", "1e999", 10**400, -(2**63), 0, -1, 1e308]
    ),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw, document):
    """A document with one to three values replaced, removed or added, anywhere in it."""
    result = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        node, key = result, None
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            child = node[key]
            if not isinstance(child, dict | list) or not child or draw(st.integers(0, 3)) == 0:
                break
            node = child
        change = draw(st.sampled_from(["replace", "remove", "add"]))
        if change == "add" and isinstance(node, dict):
            node[draw(st.text(max_size=8))] = draw(JUNK)
        elif key is not None and change == "remove":
            del node[key]
        elif key is not None:
            node[key] = draw(JUNK)
    return result


@st.composite
def damaged(draw, data):
    """Bytes of which a part is missing or replaced."""
    start = draw(st.integers(0, len(data)))
    stop = draw(st.integers(start, min(len(data), start + 400)))
    return data[:start] + draw(st.binary(max_size=40)) + data[stop:]


def toml(value):
    """A value in TOML, as far as it has one."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def toml_file(document):
    return "".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in document.items()).encode(
        "utf-8", "replace"
    )


def json_file(document):
    return json.dumps(document).encode("utf-8", "replace")


def text_or_bytes(document, dump):
    """Mostly a document that parses, sometimes one that does not."""
    whole = mutated(document).map(dump)
    return whole | damaged(dump(document))


def read_file(read, name):
    def attempt(folder, data):
        (folder / name).write_bytes(data)
        read(folder / name)

    return attempt


def read_manifest(folder, data):
    (folder / "manifest.json").write_bytes(data)
    manifest = load_manifest(folder)
    manifest.load_rig()
    manifest.load_symmetry()


def read_bundle(folder, data):
    for name in ("pose.onnx", "policy.onnx"):
        if not (folder / name).exists():
            (folder / name).symlink_to((ROOT / "pretrained/spin" / name).resolve())
    (folder / "manifest.json").write_bytes(data)
    check_bundle(folder)


def picture():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


FILE_NAMES = st.from_regex(r"[a-z0-9_. -]{1,12}\.(png|jpg|mp4|txt)", fullmatch=True)
RECORDINGS = st.lists(
    st.tuples(st.sampled_from(["left", "right", "top"]), FILE_NAMES,
              damaged(picture()) | st.just(picture())),
    max_size=6,
)  # fmt: skip


def play(folder, files):
    for old in folder.rglob("*.*"):
        old.unlink()
    for camera, name, data in files:
        (folder / camera).mkdir(exist_ok=True)
        (folder / camera / name).write_bytes(data)
    cameras = RecordedCameras(folder, load_rig("dactyl-200").resized(8))
    with suppress(EndOfRecording):
        for _ in range(10):
            cameras.read()
    cameras.close()


WORDS = st.text(max_size=10) | st.integers(-LARGE, LARGE).map(str) | st.sampled_from(
    ["--out", "--resume", "--help", "--data", "--seed", "--workers=-1", "--object", "--rig",
     "--bundle", "--image-size", "nan", "-1", "..", "/dev/null", "", "--", "none", "=", "--=",
     "show", "import", "check", "--check", "--verify", "--images", "--samples", "--episodes"]
)  # fmt: skip
COMMANDS = st.tuples(
    st.sampled_from([*VERBS, "nothing"]), st.lists(WORDS, max_size=5), st.integers(0, 5)
)


def run_command(folder, command):
    """Runs a command line; an unknown option among its words keeps it from doing any work."""
    verb, words, place = command
    if not {"--help", "-h"} & set(words):
        words = [*words[:place], "--no-such-option", *words[place:]]
    with mock.patch.dict(os.environ), redirect_stdout(io.StringIO()), suppress(SystemExit):
        err = io.StringIO()
        try:
            with redirect_stderr(err):
                main([verb, *words])
        except SystemExit as stop:
            assert stop.code in (0, None, 2, 3), (stop.code, err.getvalue())
            raise


@pytest.fixture(scope="session")
def documents(dataset):
    """Valid files of each kind, parsed."""
    label = next(iter(read_labels(dataset / "shard-000000.tar"))).to_json()
    table = parsed("tests/scenes/table.toml")
    table["model"][0]["file"] = str(ROOT / "tests/scenes/arm.urdf")
    bundle = json.loads((ROOT / "pretrained/spin/manifest.json").read_text())
    described = {
        kind: [tomllib.loads(p.read_text()) for p in sorted((ROOT / "configs" / folder).glob("*"))]
        for kind, folder in (("object", "objects"), ("hand", "hands"))
    }
    return described | {
        "rig": [parsed("configs/rigs/dactyl.toml")],
        "physics": [{"preset": "none"} | tomllib.loads(to_toml(RandomizationConfig(), "none"))],
        "appearance": [tomllib.loads(to_toml(AppearanceConfig(), "dactyl"))],
        "scene": [table],
        "manifest": [json.loads((dataset / "manifest.json").read_text())],
        "label": [json.loads(label)],
        "bundle": [bundle],
    }


def parsed(path):
    return tomllib.loads((ROOT / path).read_text())


READERS = {
    "rig": read_file(load_rig, "rig.toml"),
    "physics": read_file(lambda path: load_randomization(str(path)), "physics.toml"),
    "appearance": read_file(lambda path: load_appearance(str(path)), "appearance.toml"),
    "object": read_file(lambda path: object_spec(str(path)), "object.toml"),
    "hand": read_file(lambda path: hand_spec(str(path)), "hand.toml"),
    "scene": read_file(scenery, "scene.toml"),
    "manifest": read_manifest,
    "label": lambda _, data: Label.from_json(data, "a label"),
    "bundle": read_bundle,
}
JSON_KINDS = ("manifest", "label", "bundle")


def dump_of(kind):
    return json_file if kind in JSON_KINDS else toml_file


@pytest.fixture(scope="session")
def read_document():
    """Writes a document of a kind into a folder and reads it."""
    return lambda kind, folder, document: READERS[kind](folder, dump_of(kind)(document))


@pytest.fixture(scope="session")
def kinds(dataset, documents):
    """For each kind, a strategy of malformed inputs and what reads them in a folder."""
    shard = (dataset / "shard-000000.tar").read_bytes()
    files = {
        kind: (st.one_of([text_or_bytes(d, dump_of(kind)) for d in documents[kind]]), read)
        for kind, read in READERS.items()
    }
    return files | {
        "shard": (damaged(shard), read_file(lambda path: list(read_shard(path)), "s.tar")),
        "recording": (RECORDINGS, play),
        "command": (COMMANDS, run_command),
    }
