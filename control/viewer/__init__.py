"""Shows the closed loop in a browser and records videos of it."""
