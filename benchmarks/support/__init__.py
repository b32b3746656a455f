"""Used by suites and studies: image similarity, untrained networks, replays, roll-outs, clocks."""
