"""Bundles on disk: manifest, loading, model card; numpy and onnxruntime only."""
