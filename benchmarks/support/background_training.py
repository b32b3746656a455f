"""A training in the background, as a user starts one beside a running robot.

`python -m opendactyl.benchmarks.support.background_training` trains on random images, at the lowest
priority.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NICE = 19
STARTED = "training"
SIZE, BATCH = 128, 16


@contextmanager
def background_training() -> Iterator[None]:
    """Trains on all cores, in a session of its own, while the block runs."""
    command = [sys.executable, "-P", "-m", "opendactyl.benchmarks.support.background_training"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != STARTED:
            raise RuntimeError("the background training did not start")
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Trains `landmark` with one stage of 128 pixels until the parent process has ended."""
    import torch

    from opendactyl.core.cpu import cores
    from opendactyl.geometry.rig import load_rig
    from opendactyl.geometry.static_landmarks import STATIC_LANDMARKS
    from opendactyl.models.choices import POSE_NETWORKS
    from opendactyl.models.pose.registry import build_pose_network
    from opendactyl.sim.objects.shipped import object_spec

    torch.set_num_threads(cores())
    rig = load_rig("dactyl-200").resized(SIZE)
    points = object_spec("block").keypoints.tolist()
    network = build_pose_network(
        POSE_NETWORKS[0], views=3, head="9d", points=points, anchors=STATIC_LANDMARKS.tolist()
    )
    cameras = [torch.tensor(m, dtype=torch.float32) for m in (rig.intrinsics, rig.extrinsics)]
    images = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE, 3), dtype=torch.uint8)
    optimizer = torch.optim.AdamW(network.parameters())
    os.nice(NICE)  # only now: beside other jobs the imports would take minutes
    print(STARTED, flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # it may be killed
        network(images, *cameras).position.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main()
