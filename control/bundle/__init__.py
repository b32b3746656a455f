"""Bundles on disk: manifest, loading, model card; needs the base install only."""
