"""Observations, actions and tasks; needs numpy only."""
