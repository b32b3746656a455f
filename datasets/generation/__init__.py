"""Dataset generation: states, images and labels, by local or Ray workers."""
