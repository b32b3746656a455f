"""MuJoCo's OpenGL renderer, and the choice of its backend."""
