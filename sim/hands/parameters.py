"""Measured physical parameters of a hand, which replace those of its model."""

from dataclasses import dataclass, field

from opendactyl.sim.assets.fields import Fields

KINDS = ("gain", "damping", "armature", "friction_loss")
"""Gains by actuator, the others by joint."""


@dataclass(frozen=True)
class PhysicalParameters:
    """Values by actuator or joint; what is not named keeps the model's value."""

    gain: dict[str, float] = field(default_factory=dict)
    """Torque per radian of the position servos, in N m; their damping is scaled alike."""
    damping: dict[str, float] = field(default_factory=dict)
    """In N m s per radian."""
    armature: dict[str, float] = field(default_factory=dict)
    """In kg m²."""
    friction_loss: dict[str, float] = field(default_factory=dict)
    """In N m."""

    @classmethod
    def read(
        cls, table: Fields, joints: tuple[str, ...], actuators: tuple[str, ...]
    ) -> "PhysicalParameters":
        """Reads the table `[parameters]` of a hand file.

        Raises:
            InputError: a name is not one of the hand's, or a value is not a number of at least 0.
        """
        values = {}
        for kind in KINDS:
            entries = table.get(kind) or {}
            if not isinstance(entries, dict):
                raise table.wrong(kind, "a table of names and numbers")
            known = actuators if kind == "gain" else joints
            numbers = Fields(entries, f"{table.where}, {kind}", known)
            values[kind] = {
                name: 0.0 if value == 0 and kind != "gain" else numbers.positive(name)
                for name, value in entries.items()
            }
        return cls(**values)
