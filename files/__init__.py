"""Files that are never half-written: writes, checksums, run folders, reports; and `InputError`."""
