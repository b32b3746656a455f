"""Training on composed demonstrations at toy size, with an interruption."""

import shutil

import pytest
import torch

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.policy.imitation.checkpoint import load_checkpoint
from opendactyl.policy.imitation.config import ImitationConfig
from opendactyl.policy.imitation.export import load_network
from opendactyl.policy.imitation.tracks import Demonstrator, TrackStore
from opendactyl.policy.imitation.training import Trainer, train


@pytest.fixture(scope="module")
def run(home, once, tracks, noise):
    """A run interrupted after its tracks, and resumed."""

    def make(out):
        calls = []

        def demonstrate(seed, count):
            calls.append(seed)
            return tracks(seed, 40)

        teacher = Demonstrator(demonstrate, noise, "a")
        settings = {"out": out, "tracks": 1, "batch_size": 8, "seed": 4}
        train(ImitationConfig(max_minutes=0.05, **settings), teacher)
        train(ImitationConfig(max_minutes=0.1, resume=True, **settings), teacher)
        assert calls == [4_000_000]  # the tracks were kept

    return once(home / "composed-imitation", make)


def test_a_run_is_resumed_and_learns(run, tracks, noise):
    value = load_checkpoint(run)
    assert value["step"] > 0 and value["seconds"] > 5
    assert len(TrackStore(run / "tracks", 4).load()) == 40
    with pytest.raises(InputError, match="other settings"):
        train(
            ImitationConfig(out=run, tracks=1, seed=5, resume=True),
            Demonstrator(tracks, noise, "a"),
        )
    config = ImitationConfig(out=run, tracks=1, batch_size=8, seed=4, resume=True)
    with pytest.raises(InputError, match="bundle_sha256"):
        train(config, Demonstrator(tracks, noise, "b"))


def test_the_learning_rate_falls_over_a_run_with_interruptions(run, tmp_path, tracks, noise):
    """The share of the time is that of the whole run, not of what is left after a stop."""
    copy = shutil.copytree(run, tmp_path / "run")
    value = load_checkpoint(copy)
    began, seconds = value["began"], value["seconds"]
    minutes = (seconds + 1) / 60
    config = ImitationConfig(out=copy, tracks=40, batch_size=8, seed=4, max_minutes=minutes)
    trainer, rates = Trainer(config, copy), []
    for group in trainer._optimizer.param_groups:
        group["lr"] = 1.0
    trainer._optimizer.register_step_post_hook(
        lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"])
    )
    trainer.fit(tracks(4, 40), noise)
    assert 0 < max(rates) < 1.5 * config.learning_rate / (seconds + 1 - began)


def test_a_finished_run_is_left_as_it_is(run, tmp_path, tracks, noise):
    copy = shutil.copytree(run, tmp_path / "run")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    minutes = load_checkpoint(copy)["seconds"] / 60
    config = ImitationConfig(out=copy, tracks=40, batch_size=8, seed=4, max_minutes=minutes)
    Trainer(config, copy).fit(tracks(4, 40), noise)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("what", ["weights", "gradient"])
def test_a_training_that_diverges_ends_and_keeps_its_checkpoint(run, tmp_path, what, tracks, noise):
    copy = shutil.copytree(run, tmp_path / "run")
    seconds, step = (load_checkpoint(copy)[name] for name in ("seconds", "step"))
    config = ImitationConfig(out=copy, tracks=40, seed=4, max_minutes=seconds / 60 + 1)
    trainer = Trainer(config, copy)
    weights = next(trainer.network.parameters())
    if what == "weights":
        weights.data.fill_(torch.nan)
    else:
        weights.register_hook(lambda gradient: torch.nan * gradient)
    with pytest.raises(EnvironmentFailure, match=r"diverged .* smaller --learning-rate"):
        trainer.fit(tracks(4, 40), noise)
    value = load_checkpoint(copy)
    assert value["step"] == step
    assert all(torch.isfinite(kept).all() for kept in value["network"].values())


def test_tracks_that_leave_no_time_for_the_training_are_an_error(tmp_path, tracks, noise):
    config = ImitationConfig(out=tmp_path / "run", tracks=300, max_minutes=1e-6)
    with pytest.raises(
        InputError, match=r"--max-minutes 1e-06 are over .* 300 --tracks takes longer"
    ):
        train(config, Demonstrator(tracks, noise, "a"))
    assert not config.out.exists()


def test_a_run_needs_tracks(tmp_path, tracks, noise):
    with pytest.raises(InputError, match="has 1 track; 2 are needed"):
        train(
            ImitationConfig(out=tmp_path / "a", tracks=1, seed=4), Demonstrator(tracks, noise, "a")
        )
    with pytest.raises(InputError, match="none of 5 demonstrations carried out its program"):
        train(
            ImitationConfig(out=tmp_path / "b", tracks=5, seed=4),
            Demonstrator(lambda *_: [], noise, "a"),
        )


def test_the_last_shard_has_the_rest(tmp_path, tracks):
    counts = []

    def demonstrate(seed, count):
        counts.append(count)
        return tracks(seed, 1)

    config = ImitationConfig(out=tmp_path, tracks=200, seed=4)
    Trainer(config, tmp_path).record(demonstrate)
    assert counts == [128, 72]


def test_a_run_without_a_network_is_named(run, tmp_path):
    with pytest.raises(InputError, match="train one with `opendactyl train-imitation`"):
        load_checkpoint(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/checkpoints/last.ckpt").write_bytes(b"no")
    with pytest.raises(InputError, match="not a checkpoint of train-imitation"):
        load_network(tmp_path / "run")


def test_a_run_that_has_not_trained_or_has_another_network_is_refused(run, tmp_path, tracks):
    Trainer(ImitationConfig(out=tmp_path, tracks=5, seed=4), tmp_path).record(tracks)
    with pytest.raises(InputError, match="not trained yet"):
        load_network(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    value = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    others = [{"a": torch.zeros(2)}, {"a": 1}, [1]]
    del value["began"]
    without = {key: value[key] for key in value if key != "step"}
    for other in ({"state_dict": {}}, *(value | {"network": o} for o in others), [1], without):
        torch.save(other, tmp_path / "run/checkpoints/last.ckpt")
        with pytest.raises(InputError, match="train anew in another folder"):
            load_network(tmp_path / "run")


@pytest.mark.parametrize(
    "wrong", [{"keyframes": "some"}, {"max_minutes": 0}, {"tracks": 0}, {"learning_rate": 2}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        ImitationConfig(**wrong)
