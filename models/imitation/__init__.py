"""The imitation network."""
