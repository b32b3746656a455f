"""The exported imitation network."""

import numpy as np
import torch

from opendactyl.control.bundle.imitation_session import ImitationSession
from opendactyl.geometry.rotation import geodesic_angle, random_quat
from opendactyl.models.imitation.network import ExportedImitator
from opendactyl.policy.imitation.export import load_network
from opendactyl.policy.interface.keyframes import encode_waypoints, keyframes


def test_the_exported_network_answers_alike(imitation_run, imitation_bundle):
    session = ImitationSession(imitation_bundle / "imitation.onnx", threads=1)
    rng = np.random.default_rng(0)
    track, waypoints = random_quat(rng, (90,)), random_quat(rng, (3,))
    copies = np.stack([keyframes(track, rng) for _ in range(3)])
    goals, done = session.next(copies, waypoints[-1], waypoints)
    network = ExportedImitator(load_network(imitation_run)).eval()
    with torch.no_grad():
        expected, probability = network(
            torch.from_numpy(copies).float(),
            torch.from_numpy(encode_waypoints(waypoints)[0, :9].reshape(3, 3))
            .float()
            .repeat(3, 1, 1),
            torch.from_numpy(encode_waypoints(waypoints)).float().repeat(3, 1, 1),
        )
    assert geodesic_angle(goals, expected.numpy()).max() < 1e-3
    np.testing.assert_allclose(done, probability.numpy(), atol=1e-4)
