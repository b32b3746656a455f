"""The closed loop in simulation: batched episodes, statistics and reports."""
