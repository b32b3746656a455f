"""The closed loop in simulation: batched episodes, results and reports."""
