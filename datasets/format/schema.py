"""Schema versions of labels and manifests, and checks of the values in their JSON."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from opendactyl.core.errors import InputError

RIGID_SCHEMA, HINGE_SCHEMA, DEPTH_SCHEMA = SCHEMAS = (1, 2, 3)
"""Incremented when labels gain content; readers reject versions that they do not know. Labels keep
the lowest that describes them: 2 of objects with hinges, 3 where depth images are stored."""
INVALID_DATA = (
    InputError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
)  # fmt: skip
"""What parsing raises for JSON that is not a label or a manifest."""


def schema_of(hinges: int, depth: bool) -> int:
    """The schema of labels with a number of hinges, and with or without depth images."""
    if depth:
        return DEPTH_SCHEMA
    return HINGE_SCHEMA if hinges else RIGID_SCHEMA


def check_schema(schema: Any, what: str) -> None:
    """Raises a `ValueError` for a schema that this version does not read."""
    if schema not in SCHEMAS:
        raise ValueError(
            f"{what} {schema!r}, this version reads {', '.join(map(str, SCHEMAS))}; "
            "generate the dataset again"
        )


def natural(value: Any) -> int:
    """Returns a non-negative integer; raises a `ValueError` for anything else."""
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a non-negative integer, got {value!r}")
    return value


def optional_positive(value: Any) -> float | None:
    """Returns a positive number or None; raises a `ValueError` for anything else."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < np.inf:
        raise ValueError(f"expected a positive number, got {value!r}")
    return float(value)


def finite_array(value: Any, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Returns an array of the given shape, where None allows any length.

    Raises:
        ValueError: another shape, NaN or infinity.
    """
    array = np.array(value, dtype=np.float64)
    fits = array.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.all(np.isfinite(array)):
        raise ValueError(f"expected finite numbers of shape {shape}, got shape {array.shape}")
    return array
