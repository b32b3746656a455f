"""The hand: names of joints, actuators and sites, and the hand frame."""
