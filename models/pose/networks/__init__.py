"""The pose networks: from images to a `PoseOutput`."""
