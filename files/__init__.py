"""Files that are never half-written: atomic writes, checksums, run folders, report pages, and the one error for bad input."""
