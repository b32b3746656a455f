"""Batches for training: cache, data module, augmentation."""
