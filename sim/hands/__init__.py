"""The hand: its description as data, read from a TOML file, and its model in MuJoCo."""
