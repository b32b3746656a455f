"""MuJoCo's OpenGL renderer and the selection of its backend."""
