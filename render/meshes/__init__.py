"""Visual meshes with fewer faces, and which faces the cameras can show."""
