"""Other implementations that the suites compare with."""
