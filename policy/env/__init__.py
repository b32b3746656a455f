"""The batched environment, and the same as Gymnasium environments."""
