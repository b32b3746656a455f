"""Rendering of states: appearance randomization and the renderers."""
