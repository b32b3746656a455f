"""Programs, what they mean, and whether a track carries one out."""

import numpy as np
import pytest

from opendactyl.core.errors import InputError
from opendactyl.geometry.rotation import (
    geodesic_angle,
    quat_multiply,
    quat_rotate,
    random_quat,
    rotvec_to_quat,
    yaw_quat,
)
from opendactyl.policy.imitation import codes
from opendactyl.policy.imitation.forms import (
    DEVELOPED,
    DEVELOPMENT,
    ambiguous,
    held_out,
    programs_for_tests,
    sample_program,
    synonyms,
    unseen,
)
from opendactyl.policy.imitation.predicate import HOLD, completed, satisfied, waypoints
from opendactyl.policy.imitation.programs import (
    FACES,
    PROGRAMS,
    Program,
    check_object,
    face_up,
    load_program,
)
from opendactyl.policy.imitation.tracks import split_steps

START = random_quat(np.random.default_rng(3))


def program(text):
    return Program(split_steps(text))


def perform(steps, start=START, wobble=0.0, seed=0):
    """A track that carries out a program, with waypoints off by up to `wobble` rad."""
    rng = np.random.default_rng(seed)
    reached, track = [start], [start]
    for action in program(steps).actions:
        goal = action.goal(np.array(reached))
        axis = rng.standard_normal(3)
        reached.append(quat_multiply(rotvec_to_quat(wobble * axis / np.linalg.norm(axis)), goal))
        track += [random_quat(rng)] + [reached[-1]] * HOLD
    return np.array(track)


def test_the_letters_are_those_of_the_block():
    assert set(FACES) == set("OPENAI")
    np.testing.assert_array_equal(FACES["P"], [1, 0, 0])
    with pytest.raises(InputError, match="the prism has others"):
        check_object("prism")


def test_face_up_is_the_nearest_such_orientation():
    for letter, normal in FACES.items():
        goal = face_up(START, normal)
        np.testing.assert_allclose(quat_rotate(goal, normal), [0, 0, 1], atol=1e-6)
        tilt = np.arccos(quat_rotate(START, normal)[2])
        assert geodesic_angle(goal, START) == pytest.approx(tilt, abs=1e-6), letter


def test_the_actions_are_those_of_the_steps():
    assert [str(a) for a in program("up P then yaw 90 repeat 2").actions] == [
        "up P", "yaw 90", "yaw 90",  # P is up already
    ]  # fmt: skip
    assert [str(a) for a in program("yaw 90 then back repeat 2").actions] == [
        "yaw 90", "back", "yaw 90", "back",
    ]  # fmt: skip


@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("*.toml")), ids=lambda p: p.stem)
def test_the_shipped_programs_are_programs(path):
    assert load_program(path.stem) == load_program(str(path))
    assert len(load_program(path.stem).actions) > 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('steps = ["up X"]', "no face 'X'; the block has"),
        ('steps = ["up P", "yaw 90"]', "write `then` before it"),
        ('steps = ["back"]', "cannot be the first"),
        ('steps = ["yaw 30"]', "yaw takes 90, 180, -90 degrees"),
        ('steps = ["up P", "then"]', "must end in an action"),
        ('steps = ["then", "up P"]', "stands between two actions"),
        ('steps = ["turn"]', "no step 'turn'; the steps are"),
        ('steps = ["yaw 180", "then", "yaw 90", "repeat 4"]', "8 actions, repetitions included"),
        ('steps = ["up P", "repeat 1"]', "repeat 2 to 6 times"),
        ("steps = []", "must end in an action"),
        ('program = ["up P"]', "has the keys program; write a list of steps"),
        ('steps = "up P"', "steps is 'up P' and must be a list of texts"),
        ("steps = [", "is not TOML"),
        ("steps = " + 9000 * "[", "is not TOML .*nested too deeply"),
        (f'steps = ["yaw {5000 * "1"}"]', "no step 'yaw 1"),
        (f'steps = ["up P", "repeat {5000 * "6"}"]', "no step 'repeat 6|write `then`"),
        (
            'steps = ["yaw 90"' + 40 * ', "repeat 6"' + "]",
            "`repeat 6` makes 1296 actions; at most 6",
        ),
    ],
)
def test_invalid_programs_get_one_line(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_program(str(path))
    assert "\n" not in str(caught.value) and "mine.toml" in str(caught.value)


def test_an_unknown_program_names_the_shipped_ones(tmp_path):
    with pytest.raises(InputError, match="there-and-back"):
        load_program("somersault")
    with pytest.raises(InputError, match="cannot read the program"):
        load_program(str(tmp_path / "none.toml"))


STEPS = ("up P then yaw 90", "yaw 180", "up A then back", "yaw 90 then up N then back then yaw -90",
         "yaw -90 then back then back")  # fmt: skip


@pytest.mark.parametrize("steps", STEPS)
def test_a_track_that_carries_out_a_program_satisfies_it(steps):
    for seed in range(3):
        track = perform(steps, random_quat(np.random.default_rng(seed)), 0.3, seed)
        assert satisfied(program(steps), track)
        assert completed(program(steps), track) == len(program(steps).actions)
        found = waypoints(program(steps), track)
        assert found[0] == 0 and found[-1] == len(track) - 1
        assert (np.diff(found) >= HOLD).all()


@pytest.mark.parametrize("steps", STEPS)
def test_other_tracks_do_not(steps):
    track, meant = perform(steps), program(steps)
    assert not satisfied(meant, perform(steps, wobble=0.5))
    assert not satisfied(meant, track[: -HOLD + 1])  # not held
    away = quat_multiply(rotvec_to_quat([0.5, 0.5, 0.0]), track[-1])
    assert not satisfied(meant, np.append(track, away[None], axis=0))  # left again
    # The same orientations from another start.
    other = np.concatenate([random_quat(np.random.default_rng(8))[None], track[1:]])
    relative = meant.actions[0].kind == "yaw" or meant.actions[-1].kind == "back"
    assert satisfied(meant, other) != relative


def test_any_yaw_does_for_a_face():
    track = perform("up E")
    track[1:] = quat_multiply(yaw_quat(2.0), track[1:])
    assert satisfied(program("up E"), track)
    assert not satisfied(program("up I"), track)


def test_programs_of_one_form_are_held_out_together():
    rng = np.random.default_rng(0)
    drawn = [sample_program(rng) for _ in range(60)]
    assert {held_out(p) for p in drawn} == {True, False}
    forms = codes.encode_programs(drawn)
    for row, original in zip(codes.sample_codes(forms[:1], 20, rng), [drawn[0]] * 20, strict=True):
        actions = [codes.VOCABULARY[code] for code in row if code != codes.END]
        renamed = program(" then ".join(map(str, actions)))
        assert renamed.kind == original.kind
        assert held_out(renamed) == held_out(original)
    assert program("up P then yaw 90 then up E").kind == program("up O then yaw -90 then up N").kind
    assert program("up P then up N").kind != program("up P then up E").kind  # opposite, adjacent


def test_programs_of_the_same_goals_are_synonyms():
    found = {str(p) for p in synonyms(program("yaw 180 then yaw 180 then up O"))}
    assert found == {f"yaw 180 then {again} then up O" for again in ("back", "yaw 180")}
    assert [str(p) for p in synonyms(program("up O then yaw 90"))] == ["up O then yaw 90"]
    rng = np.random.default_rng(5)
    for _ in range(20):
        drawn = sample_program(rng)
        alike = synonyms(drawn)
        assert str(drawn.actions) in {str(other.actions) for other in alike}
        start = random_quat(rng)
        goals = [perform(" then ".join(map(str, other.actions)), start) for other in alike]
        assert all(geodesic_angle(other, goals[0])[:: HOLD + 1].max() < 1e-6 for other in goals)


def test_a_demonstration_may_show_two_programs():
    up, across = face_up(START, FACES["P"]), face_up(START, FACES["O"])
    assert ambiguous(program("up O then up P"), np.array([up, across, up]))  # or back
    away = quat_multiply(rotvec_to_quat([0.5, 0.0, 0.0]), START)
    other = face_up(face_up(away, FACES["O"]), FACES["P"])
    shown = np.array([away, face_up(away, FACES["O"]), other])
    assert not ambiguous(program("up O then up P"), shown)
    turned = quat_multiply(yaw_quat(np.pi), START)
    # `yaw 180` twice means the same.
    assert not ambiguous(program("yaw 180 then back"), np.array([START, turned, START]))
    # Where P is nearly up, `up P` looks like nothing.
    tilted = quat_multiply(rotvec_to_quat([0.3, 0.0, 0.0]), up)
    begun = quat_multiply(yaw_quat(np.pi), tilted)
    assert ambiguous(program("yaw 180 then up P"), np.array([begun, tilted, up]))


def test_programs_of_tests_have_goals_that_no_training_has():
    developed = programs_for_tests(DEVELOPED, DEVELOPMENT)
    tested = programs_for_tests(40, 7)
    assert len({p.kind for p in tested}) == 40 and all(map(unseen, tested))
    known = {other.kind for p in developed for other in synonyms(p)}
    assert known.isdisjoint(p.kind for p in tested)
    assert all(map(held_out, developed)) and not all(map(unseen, developed))
    with pytest.raises(InputError, match="forms of programs were found, of 300"):
        programs_for_tests(300, 7)


def test_goals_of_codes_are_those_of_the_actions():
    rng = np.random.default_rng(1)
    for code, action in enumerate(codes.VOCABULARY):
        before, last = random_quat(rng, (2, 4))
        found = codes.goals(np.full(4, code), last, before)
        for row in range(4):
            expected = action.goal(np.array([before[row], last[row]]))
            assert geodesic_angle(found[row], expected) < 1e-6


def test_idle_actions_do_not_count():
    """Of twice four actions `up P` after `yaw` is idle where P is up already."""
    steps = ("up P", "then", "yaw 90", "then", "up P", "then", "yaw 90", "repeat 2")
    assert len(Program(steps).actions) == 5
