"""What is drawn at random, as data: each setting of a dataclass with its meaning and its source.

The settings are the documentation: `table` lists them, and the docs' tables are made from that.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any


def drawn(default: Any, what: str, distribution: str, source: str) -> Any:
    """A dataclass field that decides a draw.

    Args:
        default: its value.
        what: what is drawn, and the unit.
        distribution: how, if there is more to say than how often.
        source: the paper or program that the range is from.
    """
    metadata = {"what": what, "distribution": distribution, "source": source}
    return dataclasses.field(default=default, metadata=metadata)


def table(config: Any) -> list[tuple[str, str, str, str]]:
    """Rows (what, distribution, range, source), one for each field made by `drawn`."""
    rows = []
    for field in dataclasses.fields(config):
        about = field.metadata
        shown = _short(getattr(config, field.name))
        rows.append((about["what"], about["distribution"], shown, about["source"]))
    return rows


def markdown(configs: Mapping[str, Any]) -> str:
    """A Markdown table: a row for each field, a column for each of the configurations."""
    tables = {name: table(config) for name, config in configs.items()}
    first = next(iter(configs.values()))
    lines = [
        "| key | what | distribution | " + " | ".join(tables) + " | source |",
        "|---" * (4 + len(tables)) + "|",
    ]
    for number, field in enumerate(dataclasses.fields(first)):
        ranges = " | ".join(rows[number][2] for rows in tables.values())
        what, distribution, _, source = next(iter(tables.values()))[number]
        lines.append(f"| `{field.name}` | {what} | {distribution} | {ranges} | {source} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    """A switch, number or range as a table shows it; a range without width is a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    values = value if isinstance(value, tuple) else (value,)
    return " … ".join(dict.fromkeys(f"{number:.4g}" for number in values))
