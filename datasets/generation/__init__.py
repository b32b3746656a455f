"""How a dataset is made: states, images and labels, by local or Ray workers."""
