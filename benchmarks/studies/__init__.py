"""Comparisons of variants: the estimator, the policy's memory, and the randomized physics."""
