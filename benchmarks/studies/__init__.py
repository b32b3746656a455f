"""Long comparisons: ablations of the estimator, and what a policy's memory is worth."""
