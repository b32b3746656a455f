"""Training of the pose estimator under Lightning."""
