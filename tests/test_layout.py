"""Folders and files stay small, and are named in the words of the field."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULES, MAX_LINES = 13, 250
MAY_GROW = {"cli/verbs"}
"""One module a verb."""
FORBIDDEN = re.compile(
    "pilot|sight|parts|chance|studio|recipe|ledger|ahead|waiting|examin.*|dress|handbook|film|judge"
    "|confused"
)
"""Words of an identifier or a file name, in lower case."""
FORBIDDEN_NAMES = {"take_bearings", "_take_bearings", "Over"}
FORBIDDEN_FILES = {"stage", "page", "draw"}
EXCEPTIONS = {"force_chance"}
"""Identifiers that are keys of files, which keep their names."""


def bound_names(source):
    """Every name that a file gives to something: functions, arguments, variables, attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname


def is_forbidden(name):
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)
    return name not in EXCEPTIONS and (
        name in FORBIDDEN_NAMES or any(FORBIDDEN.fullmatch(word.lower()) for word in words)
    )


def test_no_folder_holds_too_many_modules(python_files):
    modules = Counter(
        str(Path(name).parent)
        for name in python_files
        if not name.startswith(("tests/", "typings/")) and Path(name).stem != "__init__"
    )
    assert len(modules) > 30
    too_many = {f: n for f, n in modules.items() if n > MAX_MODULES and f not in MAY_GROW}
    assert not too_many


def test_no_file_is_too_long(python_files):
    lines = {name: (ROOT / name).read_text(encoding="utf-8").count("\n") for name in python_files}
    assert not {name: count for name, count in lines.items() if count > MAX_LINES}


def test_files_are_named_in_the_words_of_the_field(python_files):
    stems = {name: Path(name).stem.removeprefix("test_") for name in python_files}
    assert not [n for n, stem in stems.items() if stem in FORBIDDEN_FILES or is_forbidden(stem)]


def test_identifiers_are_words_of_the_field(python_files):
    found = {
        f"{name}: {bound}"
        for name in python_files
        for bound in bound_names((ROOT / name).read_text(encoding="utf-8"))
        if is_forbidden(bound)
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("class Pilot: pass", ["Pilot"]),
        ("self._pilot = 1", ["_pilot"]),
        ("def examine_all(): pass", ["examine_all"]),
        ("def f(film_seconds): pass", ["film_seconds"]),
        ("class Over(Exception): pass", ["Over"]),
        ("for parts in x: pass", ["parts"]),
        ("from a import b as dress", ["dress"]),
        ("partial = path.parts[0]\nover = insight = pilots_licence = 1", []),
    ],
)
def test_forbidden_words_are_found(source, found):
    assert [name for name in bound_names(source) if is_forbidden(name)] == found
