"""The MuJoCo model of the hand and its object: names, scene and states."""
