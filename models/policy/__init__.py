"""Actor, critic and normaliser."""
