"""Where the networks are trained: `--accelerator`, and collection in local processes."""

import pytest
import torch

from opendactyl.core.errors import InputError
from opendactyl.policy.training.checkpoints import load_checkpoint
from opendactyl.policy.training.train import train

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_reported_before_the_run_begins(tiny):
    config = tiny(accelerator="gpu")
    with pytest.raises(InputError, match="--accelerator is gpu; torch finds none"):
        train(config)
    assert not config.folder.exists()


def test_unknown_accelerators_are_refused(tiny):
    with pytest.raises(InputError, match="auto, cpu, gpu"):
        train(tiny(accelerator="tpu"))


@pytest.mark.slow
def test_a_run_collects_in_local_processes(tiny):
    pytest.importorskip("ray")
    import ray

    try:
        run = train(tiny(ray="local", ray_workers=2, max_actions=128))
        assert ray.cluster_resources()["CPU"] >= 1
    finally:
        ray.shutdown()
    assert load_checkpoint(run / "checkpoints/last.ckpt")["actions"] >= 128


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("memory", ["lstm", "none"])
def test_a_run_on_a_gpu_continues_on_the_cpu(tiny, memory):
    run = train(tiny(accelerator="gpu", memory=memory, max_actions=128))
    saved = load_checkpoint(run / "checkpoints/last.ckpt")
    assert all(value.device.type == "cpu" for value in saved["student"].values())
    again = tiny(accelerator="cpu", memory=memory, max_actions=256, resume=True, out=run)
    assert load_checkpoint(train(again) / "checkpoints/last.ckpt")["actions"] >= 256
