"""What every room uses: atomic files, errors, signals, run folders, worker processes, reports."""
