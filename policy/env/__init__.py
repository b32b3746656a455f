"""The batched environment and its Gymnasium wrappers."""
