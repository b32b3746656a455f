"""Reports as one self-contained HTML file, without links to other files."""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from opendactyl.core.atomic_files import write_text

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_DPI = 110
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #d5d9de; text-align: right; }
th:first-child, td:first-child { text-align: left; } th { border-bottom-width: 2px; }
figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .9rem; }
code { background: #f0f2f4; padding: .1rem .25rem; border-radius: 3px; }
"""


class HtmlReport:
    """An HTML report built from top to bottom; every method returns it, so that calls chain."""

    def __init__(self, title: str) -> None:
        """Starts a report with a title."""
        self._title = title
        self._blocks = [f"<h1>{_inline(title)}</h1>"]

    def heading(self, text: str) -> Self:
        """Starts a section."""
        return self._add(f"<h2>{_inline(text)}</h2>")

    def text(self, paragraph: str) -> Self:
        """Adds a paragraph, with `code`, **bold** and [links](https://…)."""
        return self._add(f"<p>{_inline(paragraph)}</p>")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> Self:
        """Adds a table; numbers are shown with four significant digits.

        Raises:
            ValueError: a row has more or fewer cells than there are headers.
        """
        for row in rows:
            if len(row) != len(headers):
                raise ValueError(f"the row {list(row)} has {len(row)} cells, not {len(headers)}")
        head = "".join(f"<th>{_inline(cell)}</th>" for cell in headers)
        body = "".join(
            "<tr>" + "".join(f"<td>{_inline(_cell(cell))}</td>" for cell in row) + "</tr>\n"
            for row in rows
        )
        return self._add(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody></table></div>"
        )

    def figure(self, figure: "Figure", caption: str = "") -> Self:
        """Adds a `matplotlib.figure.Figure`, made without pyplot's global state."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
        return self.image(buffer.getvalue(), caption)

    def image(self, image: "bytes | NDArray[np.uint8]", caption: str = "") -> Self:
        """Adds an image.

        Args:
            image: the bytes of a PNG or JPEG file, or an array (H, W, 3), uint8.
            caption: the text below it.
        """
        data = image if isinstance(image, bytes) else _png(image)
        kind = "jpeg" if data.startswith(b"\xff\xd8") else "png"
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        alt = html.escape(caption, quote=True)
        return self._add(
            f'<figure><img src="{source}" alt="{alt}">'
            f"<figcaption>{_inline(caption)}</figcaption></figure>"
        )

    def write(self, path: str | Path) -> None:
        """Writes the report, atomically."""
        body = "\n".join(self._blocks)
        write_text(
            path,
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{body}\n</body>\n</html>\n",
        )

    def _add(self, block: str) -> Self:
        self._blocks.append(block)
        return self


def _inline(text: str) -> str:
    """Escapes everything, then renders code, bold and links."""
    escaped = html.escape(text, quote=True)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    return re.sub(r"\[([^\]]+)\]\((https?://[^\s)]+)\)", r'<a href="\2">\1</a>', escaped)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | int | str):
        return str(value)
    number = float(value)
    return f"{number:.4g}" if abs(number) < 1e4 else f"{number:,.0f}"


def _png(image: "NDArray[np.uint8]") -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()
