"""Evaluation of an estimator on held-out data, and its report."""
