"""Demonstrations composed of recorded motions, and what the network learns from them."""

import numpy as np
import torch

from opendactyl.geometry.rotation import quat_multiply, random_quat, yaw_quat
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.checkpoint import make_network
from opendactyl.policy.imitation.dataset import MOVING, Composer
from opendactyl.policy.imitation.forms import (
    FORMS,
    FORMS_STEPS,
    RECORDED,
    TrainingForms,
    for_validation,
    held_out,
    sample_program,
    training_programs,
    validation_programs,
)
from opendactyl.policy.imitation.losses import answer
from opendactyl.policy.imitation.predicate import satisfied
from opendactyl.policy.imitation.segments import Motions
from opendactyl.policy.interface.keyframes import STRIDE, keyframes, surroundings


def test_motions_are_composed_to_demonstrations_of_other_programs(tracks):
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
            path, around = motions.poses(chosen, rotation, frames)
            assert around.shape == (*frames.shape, 4)
            track.append(quat_multiply(path[0], reached[-1]))
            reached.append(track[-1][-1])
        assert satisfied(program, np.concatenate(track))


def test_examples_are_consistent(composer, forms):
    examples = composer.examples(forms, 16, np.random.default_rng(0))
    valid = examples.demonstration[..., -1] == 1
    for row in range(16):
        actions = (examples.code[row] != codes.END) & examples.asked[row]
        assert examples.asked[row].sum() == actions.sum() + 1
        rest = examples.rest[row][valid[row]]
        assert rest[0] == 0 and rest[-1] == actions.sum()
        assert (np.diff(rest[rest != MOVING]) >= 0).all()
        counts = examples.waypoints[row][..., -1].sum(axis=-1)
        np.testing.assert_array_equal(counts, np.arange(len(counts)) + 1)
        np.testing.assert_allclose(
            examples.waypoints[row, :, 0, :9].reshape(-1, 3, 3), examples.present[row]
        )
    again = composer.examples(forms, 16, np.random.default_rng(0))
    np.testing.assert_array_equal(again.demonstration, examples.demonstration)
    halves = examples.by_length(2)
    assert sum(len(half.code) for half in halves) == 16
    assert halves[0].demonstration.shape[1] < examples.demonstration.shape[1]


def test_poses_have_the_noise_of_the_estimator_in_the_hand_frame(tracks, forms):
    motions, spread = Motions(tracks(0, 30)), np.array([0.01, 0.03, 0.002])
    exact, noisy = (
        Composer(motions, np.diag(s**2)).examples(forms, 64, np.random.default_rng(0))
        for s in (np.full(3, 1e-6), spread)
    )
    valid = exact.demonstration[..., -1] == 1
    one, other = (
        examples.demonstration[valid][:, :9].reshape(-1, 3, 3) for examples in (exact, noisy)
    )
    turned = other @ np.swapaxes(one, -1, -2)
    vectors = np.stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]], axis=-1)
    np.testing.assert_allclose(vectors.std(axis=0), spread, rtol=0.15)


def test_of_the_last_state_alone_nothing_else_is_left(tracks, forms):
    motions = Motions(tracks(0, 30))
    whole, last = (
        Composer(motions, np.eye(3) * 1e-12, last_only=only).examples(
            forms, 8, np.random.default_rng(0)
        )
        for only in (False, True)
    )
    assert (last.demonstration[..., -1].sum(axis=1) == 1).all()
    ends = whole.demonstration[..., -1].sum(axis=1).astype(int) - 1
    np.testing.assert_allclose(
        last.demonstration[:, 0, :9], whole.demonstration[np.arange(8), ends, :9], atol=1e-5
    )


def test_padding_does_not_change_the_answers(composer, forms):
    torch.manual_seed(0)
    network = make_network().eval()
    examples = composer.examples(forms, 8, np.random.default_rng(1))
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


def test_demonstrations_of_the_training_have_the_form_of_keyframes(composer, forms, tracks):
    """One frame of the first forty follows the first one, whose motion is not known."""
    rng = np.random.default_rng(0)
    recorded = np.stack([keyframes(track.quaternions, rng) for track in tracks(4, 40)])
    composed = composer.examples(forms, 64, rng).demonstration
    for rows in (recorded, composed):
        count = rows[..., -1].sum(axis=1).astype(int)
        last = rows[np.arange(len(rows)), count - 1]
        assert max(rows[:, 0, 9:14].max(), last[:, 9:13].max()) < 1e-6
        assert rows[:, 1, 13].min() >= 1 and rows[:, 1, 13].max() < 2
        assert rows[:, 1:3, 9:11].max() > 0 and 1 < rows[..., 11:13].max() <= 3
        frames = np.cumsum(rows[..., 13], axis=1)
        assert (rows[..., 11] <= frames + 1e-6).all()


def test_the_network_learns_an_action_from_a_demonstration(composer, forms):
    """Overfits one batch: loss and errors fall."""
    torch.manual_seed(0)
    network = make_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    examples = composer.examples(forms, 8, np.random.default_rng(3))
    losses = []
    for _ in range(60):
        found = answer(network, examples)
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        losses.append(float(found.loss.detach()))
    assert losses[-1] < 0.4 * losses[0]


def test_the_surroundings_of_a_frame_are_how_far_and_how_long():
    moving = np.arange(11) * 0.093
    angles = np.concatenate([moving, np.full(30, 1.0), 1.0 + moving])
    track = yaw_quat(angles)
    around = surroundings(track)
    for i in range(len(track)):
        near = np.abs(angles - angles[i]) < 0.4
        before = i - (np.flatnonzero(~near[:i])[-1] + 1 if (~near[:i]).any() else 0)
        after = (np.flatnonzero(~near[i:])[0] if (~near[i:]).any() else len(near) - i) - 1
        np.testing.assert_allclose(around[i, 2:] * STRIDE, [before, after], atol=1e-9)
        moved = angles[i] - angles[max(i - 5, 0)], angles[min(i + 5, len(near) - 1)] - angles[i]
        np.testing.assert_allclose(around[i, :2], moved, atol=1e-6)


def test_programs_of_training_validation_and_test_have_different_forms():
    rng = np.random.default_rng(0)
    trained, validated = training_programs(rng, 200), validation_programs(rng, 20)
    assert not any(held_out(p) or for_validation(p) for p in trained)
    assert all(for_validation(p) and not held_out(p) for p in validated)
    assert {p.kind for p in trained}.isdisjoint(p.kind for p in validated)
    assert {len(p.actions) for p in trained} == set(range(1, 7))


def test_programs_are_drawn_anew_and_recorded_ones_are_always_among_them():
    rng = np.random.default_rng(0)
    mine = next(p for p in iter(lambda: sample_program(rng), None) if held_out(p))
    forms, row = TrainingForms(4, [mine]), codes.encode_program(mine)
    first, later = forms.at(0), forms.at(FORMS_STEPS)
    np.testing.assert_array_equal(forms.at(FORMS_STEPS - 1), first)
    assert (first[:FORMS] != later[:FORMS]).any()
    for drawn in (first, later):
        assert (drawn == row).all(axis=1).sum() == round(RECORDED * FORMS)
    assert not (TrainingForms(4).at(0) == row).all(axis=1).any()


def test_waypoints_before_the_last_two_do_not_change_the_answers(composer, forms):
    torch.manual_seed(1)
    network = make_network().eval()
    examples = composer.examples(forms, 8, np.random.default_rng(4))
    encoded = network.encode(torch.from_numpy(examples.demonstration))
    present, waypoints = map(torch.from_numpy, (examples.present, examples.waypoints))
    one = network.answer(encoded, present, waypoints)
    earlier = waypoints.clone()
    earlier[..., 2:, :9] = 0.5
    torch.testing.assert_close(network.answer(encoded, present, earlier).goal, one.goal)
    before = waypoints.clone()
    before[..., 1, :9] = 0.5
    changed = network.answer(encoded, present, before).goal - one.goal
    assert changed[:, 1:].abs().max() > 1e-3


def test_a_motion_of_any_length_can_be_learned_from(tracks):
    (track,) = tracks(5, 1)
    long = np.repeat(track.quaternions, 10, axis=0)
    marks = np.minimum(track.waypoints * 10 + 9, len(long) - 1)
    motions = Motions([type(track)(track.program, long, marks)])
    assert len(motions.lengths) == len(track.program.actions) and motions.lengths.max() > 240
