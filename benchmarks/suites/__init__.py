"""The suites of `opendactyl bench`, one module each."""
