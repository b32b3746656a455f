"""Recorded frames as cameras: pictures or videos of each, matched by number or time."""
