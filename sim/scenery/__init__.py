"""Scenery around an object without a hand: its description as data, and its model in MuJoCo."""
