"""Shared foundations: atomic files, errors, signals, run folders, worker processes, reports."""
