"""Appearance randomization: ranges, sampling and procedural textures."""
