"""Used by several suites: image similarity, untrained bundles, replayed actions."""
