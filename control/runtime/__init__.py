"""The control loop of one robot, and the protocols a robot implements; no simulator, no torch."""
