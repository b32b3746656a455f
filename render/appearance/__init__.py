"""Appearance randomization: ranges, sampling, procedural textures."""
