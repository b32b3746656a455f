"""Predictions, error metrics and pictures of estimates."""
