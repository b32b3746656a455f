"""Poses from frames of real cameras; needs the base install, and PyAV for videos."""
