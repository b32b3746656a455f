"""What `opendactyl bench` measures: each suite compares ours with a peer, side by side in one run."""
