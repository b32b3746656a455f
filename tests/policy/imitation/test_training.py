"""Composed demonstrations, and training on them at toy size."""

import shutil

import numpy as np
import pytest
import torch

from opendactyl.core.errors import EnvironmentFailure, InputError
from opendactyl.geometry.rotation import quat_multiply, quat_to_rotvec, random_quat
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.config import ImitationConfig
from opendactyl.policy.imitation.dataset import Composer
from opendactyl.policy.imitation.export import load_network
from opendactyl.policy.imitation.forms import sample_program, training_forms
from opendactyl.policy.imitation.losses import answer
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.segments import Motions
from opendactyl.policy.imitation.tracks import Track, TrackStore
from opendactyl.policy.imitation.training import (
    Trainer,
    load_checkpoint,
    make_network,
    train,
)
from opendactyl.policy.interface.keyframes import keyframes

NOISE = np.eye(3) * 1e-8
MOVING, RESTING = 20, 12


def slerp_track(program, rng):
    """A track that goes straight from goal to goal and rests there."""
    reached, track, marks = [random_quat(rng)], [], [0]
    track.append(reached[0])
    for action in program.actions:
        goal = action.goal(np.array(reached))
        relative = quat_to_rotvec(quat_multiply(goal, reached[-1] * [1, -1, -1, -1]))
        for part in np.append(np.linspace(0, 1, MOVING)[1:], np.ones(RESTING)):
            angle = np.linalg.norm(relative) * part / 2
            axis = relative / max(np.linalg.norm(relative), 1e-9)
            step = np.append(np.cos(angle), np.sin(angle) * axis)
            track.append(quat_multiply(step, reached[-1]))
        reached.append(goal)
        marks.append(len(track) - 1)
    return Track(program, np.array(track), np.array(marks))


def tracks(seed, count):
    rng = np.random.default_rng(seed)
    return [slerp_track(sample_program(rng), rng) for _ in range(count)]


@pytest.fixture(scope="module")
def composer():
    forms = codes.encode_programs(training_forms(0, 40))
    return Composer(Motions(tracks(0, 30)), forms, NOISE)


def test_motions_are_composed_to_demonstrations_of_other_programs():
    """Every frame of composed motions, from other starts: they carry out the other program."""
    rng = np.random.default_rng(2)
    motions = Motions(tracks(3, 60))
    for _ in range(20):
        program = sample_program(rng)
        reached = [random_quat(rng)]
        track = [reached[0][None]]
        for action in program.actions:
            rotation = Composer._rotation(action.goal(np.array(reached)), reached[-1])[None]
            chosen = motions.choose(rotation, rng)
            frames = np.arange(motions.lengths[chosen[0]])[None]
            path, before, after = motions.poses(chosen, rotation, frames)
            assert before.shape == after.shape == frames.shape
            track.append(quat_multiply(path[0], reached[-1]))
            reached.append(track[-1][-1])
        assert satisfied(program, np.concatenate(track))


def test_examples_are_consistent(composer):
    examples = composer.examples(16, np.random.default_rng(0))
    valid = examples.demonstration[..., -1] == 1
    for row in range(16):
        actions = (examples.code[row] != codes.END) & examples.asked[row]
        assert examples.asked[row].sum() == actions.sum() + 1
        reached = examples.reached[row][valid[row]]
        assert reached[0] == 0 and reached[-1] == actions.sum() - 1
        assert (np.diff(reached) >= 0).all()
        counts = examples.waypoints[row][..., -1].sum(axis=-1)
        np.testing.assert_array_equal(counts, np.arange(len(counts)) + 1)
        np.testing.assert_allclose(
            examples.waypoints[row, :, 0, :9].reshape(-1, 3, 3), examples.present[row]
        )
    again = composer.examples(16, np.random.default_rng(0))
    np.testing.assert_array_equal(again.demonstration, examples.demonstration)
    halves = examples.by_length(2)
    assert sum(len(half.code) for half in halves) == 16
    assert halves[0].demonstration.shape[1] < examples.demonstration.shape[1]


def test_padding_does_not_change_the_answers(composer):
    torch.manual_seed(0)
    network = make_network().eval()
    examples = composer.examples(8, np.random.default_rng(1))
    short = examples.by_length(8)[0]
    order = np.argsort(examples.demonstration[..., -1].sum(axis=1))[0]
    whole = network.answer(
        network.encode(torch.from_numpy(examples.demonstration)),
        torch.from_numpy(examples.present), torch.from_numpy(examples.waypoints),
    )  # fmt: skip
    alone = network.answer(
        network.encode(torch.from_numpy(short.demonstration)),
        torch.from_numpy(short.present), torch.from_numpy(short.waypoints),
    )  # fmt: skip
    queries = short.code.shape[1]
    torch.testing.assert_close(alone.goal[0], whole.goal[order, :queries], atol=1e-4, rtol=1e-4)


def test_demonstrations_of_the_training_have_the_form_of_keyframes(composer):
    """One frame of the first forty follows the first one, whose motion is not known."""
    rng = np.random.default_rng(0)
    recorded = np.stack([keyframes(track.quaternions, rng) for track in tracks(4, 40)])
    composed = composer.examples(64, rng).demonstration
    for rows in (recorded, composed):
        count = rows[..., -1].sum(axis=1).astype(int)
        last = rows[np.arange(len(rows)), count - 1]
        assert not rows[:, 0, 10:12].any(axis=0)[0] and not last[:, 9].any()
        assert rows[:, 0, 11].max() == 0 and rows[:, 1, 11].min() >= 1
        assert rows[:, 1, 11].max() < 2 and rows[:, 1:3, 9:11].max() > 0


@pytest.fixture(scope="module")
def run(home, once):
    """A run interrupted after its tracks, and resumed."""

    def make(out):
        calls = []

        def demonstrate(seed, count):
            calls.append(seed)
            return tracks(seed, 40)

        settings = {"out": out, "tracks": 1, "batch_size": 8, "seed": 4}
        train(ImitationConfig(max_minutes=0.05, **settings), demonstrate, NOISE)
        train(ImitationConfig(max_minutes=0.1, resume=True, **settings), demonstrate, NOISE)
        assert calls == [4_000_000]  # the tracks were kept

    return once(home / "composed-imitation", make)


def test_a_run_is_resumed_and_learns(run):
    value = load_checkpoint(run)
    assert value["step"] > 0 and value["seconds"] > 5
    assert len(TrackStore(run / "tracks", 4).load()) == 40
    with pytest.raises(InputError, match="other settings"):
        train(ImitationConfig(out=run, tracks=1, seed=5, resume=True), tracks, NOISE)


def test_the_learning_rate_falls_over_a_run_with_interruptions(run, tmp_path):
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
    trainer.fit(tracks(4, 40), NOISE)
    assert 0 < max(rates) < 1.5 * config.learning_rate / (seconds + 1 - began)


@pytest.mark.parametrize("what", ["weights", "gradient"])
def test_a_training_that_diverges_ends_and_keeps_its_checkpoint(run, tmp_path, what):
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
        trainer.fit(tracks(4, 40), NOISE)
    value = load_checkpoint(copy)
    assert value["step"] == step
    assert all(torch.isfinite(kept).all() for kept in value["network"].values())


def test_tracks_that_leave_no_time_for_the_training_are_an_error(tmp_path):
    config = ImitationConfig(out=tmp_path / "run", tracks=300, max_minutes=1e-6)
    with pytest.raises(InputError, match=r"--max-minutes 1e-06 are over before the 300 --tracks"):
        train(config, tracks, NOISE)
    assert not config.out.exists()


def test_a_run_needs_tracks(tmp_path):
    with pytest.raises(InputError, match="has 1 track; 2 are needed"):
        train(ImitationConfig(out=tmp_path / "a", tracks=1, seed=4), tracks, NOISE)
    with pytest.raises(InputError, match="none of 5 demonstrations carried out its program"):
        train(ImitationConfig(out=tmp_path / "b", tracks=5, seed=4), lambda *_: [], NOISE)


def test_the_last_shard_has_the_rest(tmp_path):
    counts = []

    def demonstrate(seed, count):
        counts.append(count)
        return tracks(seed, 1)

    config = ImitationConfig(out=tmp_path, tracks=200, seed=4)
    Trainer(config, tmp_path).record(demonstrate)
    assert counts == [128, 72]


def test_the_network_learns_an_action_from_a_demonstration(composer):
    """Overfits one batch: loss and errors fall."""
    torch.manual_seed(0)
    network = make_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    examples = composer.examples(8, np.random.default_rng(3))
    losses = []
    for _ in range(60):
        found = answer(network, examples)
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        losses.append(float(found.loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_a_run_without_a_network_is_named(run, tmp_path):
    with pytest.raises(InputError, match="train one with `opendactyl train-imitation`"):
        load_checkpoint(tmp_path)
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/checkpoints/last.ckpt").write_bytes(b"no")
    with pytest.raises(InputError, match="not a checkpoint of train-imitation"):
        load_network(tmp_path / "run")


@pytest.mark.parametrize(
    "wrong", [{"keyframes": "some"}, {"max_minutes": 0}, {"tracks": 0}, {"learning_rate": 2}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        ImitationConfig(**wrong)
