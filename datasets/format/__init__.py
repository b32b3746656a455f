"""The files of a dataset: labels, shards, the manifest."""
