"""Loading for training: every sample once an epoch, whoever asks and whenever it goes on."""

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from opendactyl.datasets.augment import AugmentConfig
from opendactyl.datasets.loading import EpochSampler, PoseDataModule


class Recorder(L.LightningModule):
    """Trains on nothing and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append((batch["index"].tolist(), batch["images"].sum().item()))
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(dataset, val_dataset, folder, max_steps, checkpoint=None):
    data = PoseDataModule(
        [dataset], val_dataset, image_size=32, batch_size=2, workers=0, augment=AugmentConfig()
    )
    trainer = L.Trainer(
        max_steps=max_steps, accelerator="cpu", logger=False,
        callbacks=[ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=1)],
        enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        default_root_dir=folder, num_sanity_val_steps=0,
    )  # fmt: skip
    recorder = Recorder()
    trainer.fit(recorder, data, ckpt_path=checkpoint, weights_only=False)
    trainer.save_checkpoint(folder / "stopped.ckpt")
    return recorder.seen


@pytest.mark.parametrize("steps", [4, 6, 9])
def test_training_resumes_in_the_middle_of_an_epoch(dataset, val_dataset, tmp_path, steps):
    """Epochs have six batches here: the middle, the end, the middle of the second."""
    whole = train(dataset, val_dataset, tmp_path / "a", 12)
    # Stopped by a limit after `steps`, and killed some time after a checkpoint of that step.
    assert train(dataset, val_dataset, tmp_path / "b", steps) == whole[:steps]
    for checkpoint in ("b/stopped.ckpt", f"a/step={steps}.ckpt"):
        rest = train(dataset, val_dataset, tmp_path / "c", 12, tmp_path / checkpoint)
        assert rest == whole[steps:]
    for epoch in (whole[:6], whole[6:]):
        assert sorted(index for batch, _ in epoch for index in batch) == list(range(12))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_ranks_share_an_epoch(ranks):
    shares = [
        [index for _, index in EpochSampler(12, 0, shuffle=True, rank=rank, ranks=ranks)]
        for rank in range(ranks)
    ]
    assert len({len(share) for share in shares}) == 1
    everyone = [index for share in shares for index in share]
    assert set(everyone) == set(range(12))
    # The last share is filled up, as every rank must take as many steps.
    assert len(everyone) - 12 < ranks


def test_workers_share_a_batch_order(dataset, val_dataset):
    def batches(workers):
        data = PoseDataModule(
            [dataset], val_dataset, image_size=32, batch_size=4, workers=workers,
            augment=AugmentConfig(),
        )  # fmt: skip
        data.setup()
        return [(b["index"].tolist(), b["images"].tolist()) for b in data.train_dataloader()]

    assert batches(2) == batches(0)
