"""What is on disk: labels, shards, the manifest."""
