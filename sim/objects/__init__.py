"""Objects to manipulate: their description as data, and the shipped ones."""
