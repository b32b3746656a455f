"""Folders and files stay small, and are named in the words of the field."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULES, MAX_LINES, MAX_FUNCTION = 13, 250, 40
MAY_GROW = {"cli/verbs"}
"""One module a verb."""
FORBIDDEN = re.compile(
    "(pilot|sight|chance|studio|recipe|ledger|dress|handbook|film|judge)(s|es|d|ed)?"
    "|(pilot|sight|dress|film|judg)ing|parts|ahead|waiting|examin.*|confus(e|es|ed|ing)"
)
"""Words of an identifier, a file name or a folder's, in lower case."""
FORBIDDEN_NAMES = {"take_bearings", "_take_bearings", "Over"}
FORBIDDEN_FILES = {"stage", "page", "draw"}
EXCEPTIONS = {"force_chance", "'force_chance'", "'judged_images'", "'film_seconds'"}
"""Keys of files, which keep their names: of randomizations, of `bench` and of evaluations."""


def bound_names(source):
    """Names that a file gives: functions, arguments, variables, attributes; quoted, keys."""
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
        elif isinstance(node, ast.Dict):
            for key in node.keys:
                if isinstance(key, ast.Constant) and str(key.value).isidentifier():
                    yield repr(key.value)


def lengths(source):
    """Functions and their numbers of lines, without docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = first.end_lineno - first.lineno + 1 if documented else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


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


def test_no_function_is_too_long(python_files):
    """Tests and examples are sequences of steps, which may be longer."""
    found = {
        f"{name}: {function}": count
        for name in python_files
        if not name.startswith(("tests/", "examples/"))
        for function, count in lengths((ROOT / name).read_text(encoding="utf-8"))
    }
    assert len(found) > 500
    assert not {name: count for name, count in found.items() if count > MAX_FUNCTION}


def test_the_length_of_a_function_is_counted_without_its_docstring():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    def g(): return 1\n    return g\n'
    assert dict(lengths(source)) == {"f": 3, "g": 1}


def test_files_and_folders_are_named_in_the_words_of_the_field(python_files):
    words = {part.removeprefix("test_") for n in python_files for part in Path(n[:-3]).parts}
    assert not [word for word in words if word in FORBIDDEN_FILES or is_forbidden(word)]


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
        (
            "pilots = filmed = judging = two_ledgers = 1",
            ["pilots", "filmed", "judging", "two_ledgers"],
        ),
        ("x = {'recipes': 1, 'judged_images': 2}", ["'recipes'"]),
        ("from a import b as dress", ["dress"]),
        ("partial = path.parts[0]\nover = insight = address = 1", []),
    ],
)
def test_forbidden_words_are_found(source, found):
    assert [name for name in bound_names(source) if is_forbidden(name)] == found
