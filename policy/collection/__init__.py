"""Collection of experience: in this process, ahead of the learner, or on a Ray cluster."""
