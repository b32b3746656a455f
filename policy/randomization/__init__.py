"""Physics randomization: ranges, sampling, and the effects on actions and observations."""
