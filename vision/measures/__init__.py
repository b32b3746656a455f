"""Predictions beside the truth, and the error metrics computed from them."""
