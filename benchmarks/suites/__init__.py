"""One module a suite of `opendactyl bench`."""
