"""The pose estimator: training, metrics, report, export, and the run-time estimator."""
