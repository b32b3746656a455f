"""Simplification of visual meshes, and visibility of mesh faces."""
