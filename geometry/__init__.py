"""Rotations, rigid poses, cameras and symmetries, on arrays of any batch shape."""
