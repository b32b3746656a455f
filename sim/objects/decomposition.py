"""Approximate convex decomposition by CoACD, computed once and stored beside the object's file."""

import io
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.atomic_files import json_hash, write_bytes
from opendactyl.core.errors import InputError
from opendactyl.core.optional_files import read_optional
from opendactyl.geometry.rotation import Array

CONCAVITY, MAX_HULLS = 0.05, 16
"""Default settings: CoACD's threshold, and the largest number of convex parts."""


def decompose(
    vertices: Array, triangles: NDArray[np.int64], store: Path, concavity: float, most: int
) -> tuple[tuple[Array, ...], str]:
    """The convex parts of a mesh, and the version of CoACD that computed them.

    Args:
        vertices: (N, 3) in any unit.
        triangles: indices (T, 3).
        store: the file that keeps the parts (`store_name`); read if it exists, else written.
        concavity: CoACD's threshold, from 0.01 (fine) to 1.
        most: the largest number of parts.

    Raises:
        InputError: CoACD is needed and not installed, or the stored parts are damaged.
    """
    stored = read_optional(store)
    if stored is not None:
        return _unpack(stored, store)
    try:
        import coacd  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            'collision = "decomposition" needs CoACD: pip install coacd; '
            'or write collision = "hull"'
        ) from error
    coacd.set_log_level("error")
    found = coacd.run_coacd(
        coacd.Mesh(vertices, triangles.astype(np.int32)),
        threshold=concavity,
        max_convex_hull=most,
        seed=0,
    )
    hulls = tuple(np.asarray(points, dtype=np.float64) for points, _ in found)
    made_with = version("coacd")
    buffer = io.BytesIO()
    arrays = {f"hull{number}": hull for number, hull in enumerate(hulls)}
    np.savez_compressed(buffer, version=made_with, **arrays)  # pyright: ignore[reportArgumentType]
    write_bytes(store, buffer.getvalue())
    return hulls, made_with


def _unpack(content: bytes, store: Path) -> tuple[tuple[Array, ...], str]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            hulls = tuple(arrays[f"hull{n}"] for n in range(len(arrays.files) - 1))
            return hulls, str(arrays["version"])
    except Exception as error:  # numpy and zipfile raise several
        raise InputError(
            f"{store} is damaged ({error}); delete it, and the parts are computed again"
        ) from error


def store_name(mesh: str, checksum: str, settings: dict[str, float | int | None]) -> str:
    """The name of the file that keeps the parts of a mesh with a checksum."""
    return f"{mesh}.hulls-{json_hash({'mesh': checksum, **settings})[:16]}.npz"
