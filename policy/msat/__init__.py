"""Training of the multi-stream action transformer by DAgger from a recurrent policy."""
