"""Configuration files to copy and edit: camera rigs."""
