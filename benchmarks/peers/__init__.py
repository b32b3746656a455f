"""The peers that the suites compare with."""
