"""Plots as files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from opendactyl.core.atomic_files import write_bytes


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG file atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())
