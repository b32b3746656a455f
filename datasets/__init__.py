"""Where states come from, shards on disk, loading and augmentation."""
