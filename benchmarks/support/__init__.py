"""What several suites share: image similarity, untrained bundles, replayed actions."""
