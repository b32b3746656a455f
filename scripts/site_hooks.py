"""MkDocs hooks: files outside `docs/` that pages link to become part of the site."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = "changelog.md"
_OUTSIDE = re.compile(r"\]\(\.\./([^)#]+)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the change log as a page, and each file that a page links to by `../`."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    pages = [page.content_string for page in files.documentation_pages()]
    files.append(File.generated(config, CHANGELOG, content=text.replace("](docs/", "](")))
    for path in sorted({path for page in pages for path in _OUTSIDE.findall(page)}):
        if path != "CHANGELOG.md":
            files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lets links to files outside `docs/` point to their copies."""
    return _OUTSIDE.sub(r"](files/\1", markdown.replace("](../CHANGELOG.md", f"]({CHANGELOG}"))
