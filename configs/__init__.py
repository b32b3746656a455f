"""Files people copy and edit: camera rigs."""
