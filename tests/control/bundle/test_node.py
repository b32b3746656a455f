"""A bundle in onnxruntime for Node: OpenDactyl is not needed to use it."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from opendactyl.control.bundle.load import load_bundle

SCRIPT = """
const fs = require('fs'), ort = require('onnxruntime-node');
const [bundle, input] = process.argv.slice(2);
const given = JSON.parse(fs.readFileSync(input));
const tensor = (type, make, { data, dims }) => new ort.Tensor(type, make.from(data), dims);
const plain = results => Object.fromEntries(
  Object.entries(results).map(([name, t]) => [name, Array.from(t.data)]));
(async () => {
  const pose = await ort.InferenceSession.create(bundle + '/pose.onnx');
  const policy = await ort.InferenceSession.create(bundle + '/policy.onnx');
  const estimated = await pose.run({ images: tensor('uint8', Uint8Array, given.images) });
  const acted = [];
  let [h, c] = ['h', 'c'].map(name => tensor('float32', Float32Array, given[name]));
  for (const step of given.observations) {
    const out = await policy.run({ observation: tensor('float32', Float32Array, step), h, c });
    acted.push(plain(out));
    [h, c] = [out.h_out, out.c_out];
  }
  console.log(JSON.stringify({ pose: plain(estimated), policy: acted }));
})();
"""


def packed(array):
    return {"data": array.ravel().tolist(), "dims": list(array.shape)}


@pytest.mark.slow
def test_node_gives_the_same_outputs(bundle, tmp_path):
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    # The install script downloads CUDA libraries only; the CPU library is in the package.
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "onnxruntime-node@1"],
        cwd=tmp_path, check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    loaded = load_bundle(bundle)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, *loaded.estimator.shape), dtype=np.uint8)
    memory = loaded.policy.initial_memory()
    size = loaded.policy.ports["observation"][1]
    observations = [rng.normal(size=(1, size)).astype(np.float32) for _ in range(5)]
    given = {
        "images": packed(images), "h": packed(memory["h"]), "c": packed(memory["c"]),
        "observations": [packed(o) for o in observations],
    }  # fmt: skip
    (tmp_path / "input.json").write_text(json.dumps(given))
    (tmp_path / "run.js").write_text(SCRIPT)
    done = subprocess.run(
        ["node", "run.js", str(bundle), "input.json"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    node = json.loads(done.stdout)
    for name, expected in zip(
        ("position", "quaternion", "covariance"),
        loaded.estimator.estimate_batch(images),
        strict=True,
    ):
        assert np.allclose(node["pose"][name], expected.ravel(), rtol=1e-3, atol=1e-5), name
    for step, observation in zip(node["policy"], observations, strict=True):
        bins, memory, _ = loaded.policy.act(observation, memory)
        assert np.allclose(step["h_out"], memory["h"].ravel(), atol=1e-4)
        assert np.allclose(step["c_out"], memory["c"].ravel(), atol=1e-4)
        logits = np.reshape(step["logits"], (1, 20, -1))
        likelihood = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        assert np.allclose((likelihood * np.arange(logits.shape[-1])).sum(-1), bins, atol=1e-4)
