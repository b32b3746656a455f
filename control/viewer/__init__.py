"""The closed loop in a browser, and as a video."""
