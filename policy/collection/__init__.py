"""Collection of experience: in this process, concurrently with learning, or on a Ray cluster."""
