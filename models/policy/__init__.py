"""Actor, critic and their normaliser."""
