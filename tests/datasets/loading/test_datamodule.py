"""The data module: order of samples, resuming, worker processes, cache."""

import dataclasses
import itertools
import multiprocessing
import pickle
import re
import shutil

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from opendactyl.core import run_dir, worker_process
from opendactyl.core.errors import InputError
from opendactyl.datasets.format.shards import read_shard
from opendactyl.datasets.generation.verify import verify
from opendactyl.datasets.loading.augmentation_config import AugmentConfig
from opendactyl.datasets.loading.cache import open_dataset
from opendactyl.datasets.loading.datamodule import EpochSampler, PoseDataModule, PoseDataset


class Recorder(L.LightningModule):
    """Trains a dummy weight and records its batches."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.batches = []

    def training_step(self, batch, batch_idx):
        self.batches.append((batch["index"].tolist(), batch["images"].sum().item()))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(dataset, val_dataset, folder, max_steps, checkpoint=None, on_device=False):
    data = PoseDataModule(
        [dataset], val_dataset, image_size=32, batch_size=2, workers=0, augment=AugmentConfig(),
        augment_on_device=on_device,
    )  # fmt: skip
    trainer = L.Trainer(
        max_steps=max_steps, accelerator="cpu", logger=False,
        callbacks=[ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)],
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        default_root_dir=folder, num_sanity_val_steps=0,
    )  # fmt: skip
    recorder = Recorder()
    trainer.fit(recorder, data, ckpt_path=checkpoint, weights_only=False)
    trainer.save_checkpoint(folder / "stopped.ckpt")
    return recorder.batches


@pytest.mark.parametrize(("steps", "on_device"), [(4, False), (6, False), (9, False), (4, True)])
def test_training_resumes_in_the_middle_of_an_epoch(
    dataset, val_dataset, tmp_path, steps, on_device
):
    """An epoch has six batches: its middle, its end, the middle of the next."""
    whole = train(dataset, val_dataset, tmp_path / "a", 12, on_device=on_device)
    # Stopped by a limit after `steps`, or killed some time after a checkpoint of that step.
    start = train(dataset, val_dataset, tmp_path / "b", steps, on_device=on_device)
    assert start == whole[:steps]
    for checkpoint in ("b/stopped.ckpt", f"a/step={steps}.ckpt"):
        rest = train(
            dataset, val_dataset, tmp_path / "c", 12, tmp_path / checkpoint, on_device=on_device
        )
        assert rest == whole[steps:]
    for epoch in (whole[:6], whole[6:]):
        assert sorted(index for batch, _ in epoch for index in batch) == list(range(12))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_split_an_epoch(ranks):
    subsets = [
        [index for _, index in EpochSampler(12, 0, shuffle=True, rank=rank, ranks=ranks)]
        for rank in range(ranks)
    ]
    assert len({len(subset) for subset in subsets}) == 1
    union = [index for subset in subsets for index in subset]
    assert set(union) == set(range(12))
    # Padded, since all ranks must take equally many steps.
    assert len(union) - 12 < ranks


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_batches_do_not_depend_on_the_number_of_workers(dataset, val_dataset, method):
    def batches(workers):
        data = PoseDataModule(
            [dataset], val_dataset, image_size=32, batch_size=4, workers=workers,
            augment=AugmentConfig(),
        )  # fmt: skip
        data.setup()
        loader = data.train_dataloader()
        if workers:
            loader.multiprocessing_context = multiprocessing.get_context(method)
        return [(b["index"].tolist(), b["images"].tolist()) for b in loader]

    assert batches(2 if method == "fork" else 1) == batches(0)


def test_a_dataset_pickles_without_its_images(dataset):
    data = open_dataset(dataset, 64, views=2)
    # Workers receive the dataset by pickling where processes do not fork.
    sent = pickle.dumps(PoseDataset([data], AugmentConfig(), seed=0))
    assert len(sent) < min(100_000, data.images.nbytes)
    received = pickle.loads(sent)
    for a, b in zip(received[1, 5].values(), PoseDataset([data], AugmentConfig(), 0)[1, 5].values(),
                    strict=True):  # fmt: skip
        np.testing.assert_array_equal(a, b)
    assert isinstance(pickle.loads(pickle.dumps(data)).images, np.memmap)


def test_the_cache_contains_the_decoded_images(dataset):
    data = open_dataset(dataset, 64)
    samples = [s for shard in data.manifest.shards for s in read_shard(dataset / shard.name)]
    np.testing.assert_array_equal(data.images[7], samples[7].images)
    np.testing.assert_allclose(data.position[7], samples[7].label.position, atol=1e-7)
    small = open_dataset(dataset, 32)
    assert small.images.shape == (12, 3, 32, 32, 3)
    assert small.rig.cameras[0].K[0, 0] == pytest.approx(data.rig.cameras[0].K[0, 0] / 2)
    with pytest.raises(InputError, match="from 8 to 64"):
        open_dataset(dataset, 128)
    two = open_dataset(dataset, 64, views=2)
    np.testing.assert_array_equal(two.images[7], samples[7].images[:2])
    assert two.rig.names == data.rig.names[:2]
    assert two.keypoints.shape[1] == two.visible_fraction.shape[1] == 2
    with pytest.raises(InputError, match="has 3 cameras"):
        open_dataset(dataset, 64, views=4)


def test_epochs_are_shuffled_and_reproducible():
    sampler = EpochSampler(10, seed=1, shuffle=True)
    first = list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert sorted(i for _, i in first) == sorted(i for _, i in second) == list(range(10))
    assert [i for _, i in first] != [i for _, i in second]
    sampler.set_epoch(0)
    assert list(sampler) == first


def test_shapes_of_a_batch(dataset, val_dataset):
    module = PoseDataModule(
        [dataset], val_dataset, image_size=64, batch_size=4, workers=0, augment=AugmentConfig()
    )
    module.setup()
    batch = next(iter(module.train_dataloader()))
    assert batch["images"].shape == (4, 3, 64, 64, 3)
    assert batch["keypoints"].shape == (4, 3, 14, 2)
    assert len(module.val_dataloader()) == 3


def test_validation_on_the_training_seed_is_refused(dataset):
    with pytest.raises(InputError, match="same seed"):
        PoseDataModule([dataset], dataset, image_size=64, batch_size=4).setup()


def test_decoded_images_can_lie_elsewhere(dataset, tmp_path):
    """For datasets that are read-only; a loader process opens the same cache."""
    copy = tmp_path / "data"
    shutil.copytree(dataset, copy, ignore=shutil.ignore_patterns(".cache"))
    data = open_dataset(copy, 32, cache=tmp_path / "cache")
    assert not (copy / ".cache").exists()
    assert data.cache == tmp_path / "cache"
    np.testing.assert_array_equal(data.images, open_dataset(dataset, 32).images)
    reopened = pickle.loads(pickle.dumps(data))
    assert reopened.cache == tmp_path / "cache" and not (copy / ".cache").exists()


def test_decoding_and_verifying_say_how_long_they_take(dataset, tmp_path, monkeypatch, capsys):
    ticks = itertools.count(0, 3)
    monkeypatch.setattr(run_dir.time, "monotonic", lambda: next(ticks))
    open_dataset(dataset, 40, cache=tmp_path / "cache")
    samples = len(open_dataset(dataset, 40, cache=tmp_path / "cache"))
    reserved = round(samples * 3 * 40 * 40 * 3 / 1e6, 1)
    said = capsys.readouterr().err
    assert re.search(r"about \d+ seconds; ([\d.]+) MB reserved", said)
    assert float(re.search(r"([\d.]+) MB reserved", said)[1]) == pytest.approx(reserved, rel=0.5)
    assert not verify(dataset)
    assert re.search(r"about \d+ seconds; 0 MB to write", capsys.readouterr().err)


def test_a_dataset_that_cannot_be_decoded_leaves_no_cache(dataset, tmp_path, monkeypatch):
    for error in (InputError("damaged"), KeyboardInterrupt()):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr("opendactyl.datasets.loading.decoding.read_samples", fail)
        with pytest.raises(type(error)):
            open_dataset(dataset, 40, cache=tmp_path / "cache")
        assert not list((tmp_path / "cache").rglob("*.tmp*"))


def test_batches_on_the_device_have_masks_of_all_samples_or_of_none(
    dataset, val_dataset, monkeypatch
):
    number = itertools.count()

    def opened(*arguments):
        data = open_dataset(*arguments)
        masks = np.zeros(data.images.shape[:4], np.uint8)
        return dataclasses.replace(data, masks=masks if next(number) % 3 == 0 else None)

    monkeypatch.setattr("opendactyl.datasets.loading.datamodule.open_dataset", opened)
    options = {"image_size": 32, "batch_size": 2, "workers": 0, "augment": AugmentConfig()}
    PoseDataModule([dataset] * 2, val_dataset, **options).setup()
    with pytest.raises(InputError, match="use --augment-on loader"):
        PoseDataModule([dataset] * 2, val_dataset, augment_on_device=True, **options).setup()


@pytest.mark.parametrize("free", [10**5, 10**9])
def test_without_shared_memory_the_training_process_loads(
    free, dataset, val_dataset, monkeypatch, capsys
):
    monkeypatch.setattr(worker_process, "free_shared_memory", lambda: free)
    data = PoseDataModule([dataset], val_dataset, image_size=32, batch_size=4, workers=2)
    data.setup()
    enough = free > 10**6
    assert [loader.num_workers for loader in (data.train_dataloader(), data.val_dataloader())] == [
        2 * enough, 2 * enough
    ]  # fmt: skip
    assert capsys.readouterr().err.count("the training process loads the images") == (not enough)
