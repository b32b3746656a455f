"""The hand and its object in MuJoCo: names and orders, the scene, states."""
