"""The documentation's site: it builds, its links lead somewhere, and its code blocks are valid."""

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = (*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *DOCS)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r'<img [^>]*src="([^"]+)"')
BLOCKS = [
    pytest.param(language, code, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (language, code) in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
]


def prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """The anchors of a page's headings, as GitHub and MkDocs derive them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page):
    """The targets of a page's relative links that do not exist."""
    found = []
    for target in (*LINK.findall(prose(page)), *IMAGE.findall(prose(page))):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        generated = file == ROOT / "docs" / "changelog.md"
        if not (file.exists() or generated) or (anchor and anchor not in anchors(file)):
            found.append(target)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A title, here\n[a](#a-title-here) [b](other.md) [c](page.md#no) ![d](e.png)")
    assert broken_links(page) == ["other.md", "page.md#no", "e.png"]


@pytest.mark.parametrize(("language", "code"), BLOCKS)
def test_code_blocks_are_valid(language, code):
    """Their syntax, and the names that they import; other tests run commands and examples."""
    assert language in ("", "sh", "bash", "python", "toml", "json")
    if language == "toml":
        tomllib.loads(code)
    elif language == "json":
        json.loads(code)
    elif language == "python":
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("opendactyl"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names)


def build(root, out):
    return subprocess.run(
        [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "-f", root / "mkdocs.yml",
         "-d", out],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_site_builds_without_a_warning(tmp_path):
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in DOCS} <= {path.stem for path in (tmp_path / "site").glob("*")}
    own = (tmp_path / "site/own.html").read_text()
    assert 'href="files/examples/own_rig.py"' in own
    assert (tmp_path / "site/files/examples/own_rig.py").exists()
    assert "Unreleased" in (tmp_path / "site/changelog.html").read_text()


def test_the_site_does_not_build_with_a_broken_link(tmp_path):
    for name in ("docs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("mkdocs.yml", "CHANGELOG.md", "configs", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    with (tmp_path / "docs/faq.md").open("a") as page:
        page.write("\n[x](nowhere.md) [y](index.md#nothing)\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere.md" in done.stderr and "#nothing" in done.stderr
