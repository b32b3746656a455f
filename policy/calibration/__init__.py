"""System identification of a hand: its physical parameters from logs of its motion."""
