"""Output on terminals whose encoding lacks some characters, such as ASCII."""

import codecs
import sys

HANDLER = "opendactyl.plain"
PLAIN = {
    "°": " deg", "±": "+-", "×": "x", "–": "-", "—": "-", "…": "...", "≥": ">=", "≤": "<=",
    "→": "->", "²": "^2", "³": "^3", "“": '"', "”": '"', "’": "'",
    "─": "-", "━": "-", "│": "|", "┃": "|", "╭": "+", "╮": "+", "╰": "+", "╯": "+",
}  # fmt: skip
"""Replacements; any other character that the encoding lacks becomes a question mark."""


def accept_any_encoding() -> None:
    """Lets stdout and stderr replace the characters that their encoding lacks."""
    codecs.register_error(HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream of a notebook or test may be another class
            stream.reconfigure(errors=HANDLER)  # pyright: ignore[reportAttributeAccessIssue]


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in missing), error.end
