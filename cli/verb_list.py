"""The verbs of the command line."""

VERBS = {
    "doctor": "say which parts of this machine work, and what to do about the others",
    "dataset": "render a labelled dataset",
    "preview": "draw a contact sheet of a dataset",
    "train-vision": "train the pose estimator",
    "eval-vision": "measure an estimator on a dataset it has not seen",
    "train-policy": "train the control policy",
    "export": "join a vision run and a policy run into a bundle",
    "evaluate": "count consecutive goals of a bundle in closed loop",
    "run": "film a bundle at work",
    "view": "watch a bundle at work in a browser",
    "bench": "measure speed against other ways, side by side in one run",
    "demo": "all of it in one go, at a small size",
}
"""Every verb, with what it does."""
RESUMABLE = ("dataset", "train-vision", "train-policy", "evaluate", "demo")
"""Verbs that go on with --resume where they were interrupted."""
