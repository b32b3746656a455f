"""What a policy observes and does, and its tasks, in numpy alone."""
