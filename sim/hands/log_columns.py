"""Which columns of a recorded log belong to which joints and actuators of a hand."""

from dataclasses import dataclass, field
from typing import Literal

from opendactyl.sim.assets.fields import Fields

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds per unit."""
ANGLE_UNITS = ("rad", "deg")
PATTERNS = ("target", "joint", "velocity", "effort")
KEYS = ("time", "time_unit", "angle_unit", *PATTERNS, "names")


@dataclass(frozen=True)
class LogColumns:
    """Columns of a log; `{}` stands for the name of the joint or actuator."""

    time: str = "time"
    time_unit: str = "s"
    angle_unit: str = "rad"
    """Unit of targets, angles and velocities."""
    target: str = "target_{}"
    joint: str = "joint_{}"
    velocity: str = "velocity_{}"
    effort: str = "effort_{}"
    """Torques of the actuators, in N m."""
    names: dict[str, str] = field(default_factory=dict)
    """What the log calls a joint or actuator, where its name differs."""

    def column(self, kind: Literal["target", "joint", "velocity", "effort"], name: str) -> str:
        """The column of a joint or an actuator."""
        return getattr(self, kind).replace("{}", self.names.get(name, name))

    @classmethod
    def read(cls, table: Fields, names: tuple[str, ...]) -> "LogColumns":
        """Reads the table `[log]` of a hand file.

        Raises:
            InputError: a value is wrong, or `names` has one that is not among those of the hand.
        """
        texts = {key: table.text(key) for key in ("time", *PATTERNS) if key in table}
        for key in PATTERNS:
            if "{}" not in texts.get(key, "{}"):
                raise table.wrong(key, "a text with {} where the name of a joint is")
        renamed = table.get("names") or {}
        if not isinstance(renamed, dict):
            raise table.wrong("names", "a table of names and the names in the log")
        entries = Fields(renamed, f"{table.where}, names", names)
        return cls(
            **texts,
            time_unit=table.choice("time_unit", TIME_UNITS, "s"),
            angle_unit=table.choice("angle_unit", ANGLE_UNITS, "rad"),
            names={name: entries.text(name) for name in renamed},
        )
