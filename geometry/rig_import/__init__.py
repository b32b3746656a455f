"""Import of camera calibrations that other programs wrote: one module a format."""
