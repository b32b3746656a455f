"""The hand: its joints, actuators and sites in order, and its frame."""
