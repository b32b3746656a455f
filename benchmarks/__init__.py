"""What `opendactyl bench` measures: ours against a peer, side by side in one run."""
