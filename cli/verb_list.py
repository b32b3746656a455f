"""The verbs of the command line."""

VERBS = {
    "doctor": "check which parts of this machine work, with remedies for the others",
    "rig": "import the calibration of cameras, or draw a rig",
    "object": "draw and describe an object",
    "hand": "draw and describe a hand",
    "scene": "draw and describe a scene without a hand",
    "dataset": "render a labelled dataset",
    "preview": "draw a contact sheet of a dataset",
    "train-vision": "train the pose estimator",
    "eval-vision": "measure an estimator on held-out data",
    "train-policy": "train the control policy",
    "train-imitation": "train the network that imitates one demonstration",
    "export": "join a vision run and a policy run into a bundle",
    "estimate": "estimate poses from pictures, videos or live cameras",
    "evaluate": "count consecutive goals of a bundle in closed loop",
    "run": "record a video of a bundle in closed loop",
    "view": "show a bundle in closed loop in a browser",
    "demonstrate": "record a demonstration of a program in simulation",
    "bench": "compare speed with other implementations, side by side in one run",
    "demo": "run the whole chain at a small size",
}
"""Every verb, with its description."""
RESUMABLE = ("dataset", "train-vision", "train-policy", "train-imitation", "evaluate", "bench",
             "demo")  # fmt: skip
"""Verbs that continue an interrupted run with --resume."""
CHOOSES_GL = (
    "doctor",
    "object",
    "hand",
    "scene",
    "dataset",
    "train-vision",
    "train-policy",
    "evaluate",
    "run",
    "view",
    "demonstrate",
    "bench",
    "demo",
)
"""Verbs that may render, and choose the OpenGL backend themselves; MuJoCo gets none in others."""
