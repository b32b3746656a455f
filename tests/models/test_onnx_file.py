"""Exported networks as files: weights of 16 bits are stored as such, without loss."""

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from opendactyl.models.onnx_file import LARGE, round_weights, save_onnx


def test_rounded_weights_are_stored_in_half_without_loss(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).eval()
    x = torch.randn(2, 64)
    paths = []
    for rounded in (False, True):
        if rounded:
            round_weights(network)
        program = torch.onnx.export(network, (x,), dynamo=True, optimize=False, verbose=False)
        save_onnx(program, path := tmp_path / f"{rounded}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, network(x).detach(), rtol=0, atol=1e-6)
        stored = {tuple(t.dims): t.data_type for t in onnx.load(path).graph.initializer}
        kind = onnx.TensorProto.FLOAT16 if rounded else onnx.TensorProto.FLOAT
        assert stored[64, 64] == kind and stored[64,] == onnx.TensorProto.FLOAT
        paths.append(path)
    assert network[0].weight.nbytes >= LARGE > network[0].bias.nbytes
    assert paths[1].stat().st_size < 0.6 * paths[0].stat().st_size
