import sys
import types

import gymnasium
import imageio.v3 as iio
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordVideo

from opendactyl.core.errors import InputError
from opendactyl.policy.env.gym_env import HandSingleEnv
from opendactyl.policy.env.gym_vector_env import HandVectorEnv
from opendactyl.render.episode_views import EpisodeViews

SHORT = {"seconds_per_goal": 0.24}  # three actions, unless a goal is reached
VIEWS = ("left", "right", "top")


class Clip:
    """MoviePy's clip, as far as `RecordVideo` uses it; MoviePy needs an older Pillow than ours."""

    def __init__(self, frames, fps):
        self.frames, self.fps = frames, fps

    def write_videofile(self, path, logger):
        iio.imwrite(path, np.stack(self.frames), plugin="pyav", codec="libx264", fps=self.fps)


@pytest.fixture
def moviepy(monkeypatch):
    try:
        import moviepy  # noqa: F401
    except ImportError:
        path = (
            "moviepy",
            "moviepy.video",
            "moviepy.video.io",
            "moviepy.video.io.ImageSequenceClip",
        )
        for name in path:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules[path[-1]].ImageSequenceClip = Clip


class SharedViews(EpisodeViews):
    """Stays open: a renderer takes seconds to open."""

    def close(self):
        pass


@pytest.fixture(scope="module")
def views():
    """Opens views of one size and appearance, whatever the settings are."""
    shared = SharedViews(image_size=32, appearance="dactyl")
    yield lambda *args, **options: shared
    EpisodeViews.close(shared)


@pytest.mark.usefixtures("moviepy")
def test_a_video_of_an_episode_is_recorded(tmp_path):
    env = gymnasium.make("OpenDactyl/Spin-v0", render_mode="rgb_array", **SHORT)
    folder = tmp_path / "video"
    with RecordVideo(env, str(folder), episode_trigger=lambda number: number == 1) as env:
        for _ in range(3):
            env.reset(seed=0)
            truncated = terminated = False
            while not (truncated or terminated):
                *_, terminated, truncated, _ = env.step(np.full(20, 9))
    (video,) = folder.iterdir()
    frames = iio.imread(video, plugin="pyav")
    assert frames.shape == (4, 480, 480, 3)
    assert iio.immeta(video, plugin="pyav")["fps"] == 12.5
    # The hand moves: more than the compression of a constant scene changes.
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 50


def test_images_and_frames_pass_the_checker_of_gymnasium(views):
    env = gymnasium.make("OpenDactyl/Spin-v0", observation="images", views=views)
    with pytest.warns(UserWarning, match="nothing is rendered"):
        assert env.unwrapped.render() is None
    check_env(env.unwrapped)  # also makes it with each of its render modes
    assert set(env.observation_space) == {*VIEWS, "state"}


def test_images_of_both_environments_are_reproducible_and_differ(views):
    options = {"observation": "images", "views": views} | SHORT
    vector = gymnasium.make_vec("OpenDactyl/Reorient-v0", num_envs=2, **options)
    single = gymnasium.make("OpenDactyl/Reorient-v0", **options)

    def run(env, single):
        action = np.full(20, 7) if single else np.full((2, 20), 7)
        observed = [env.reset(seed=1)[0]]
        for _ in range(3):
            observation, *_, info = env.step(action)
            observed.append(observation)
        last = info.get("final_obs", [observation])[0]
        return observed, last

    for env in (vector, single):
        (first, *_, after), last = run(env, env is single)
        (again, *_, after_again), last_again = run(env, env is single)
        for name in (*VIEWS, "state"):
            np.testing.assert_array_equal(first[name], again[name])
            np.testing.assert_array_equal(after[name], after_again[name])
            np.testing.assert_array_equal(last[name], last_again[name])
            assert not np.array_equal(first[name], after[name])
            if env is vector:
                assert env.observation_space[name].shape == first[name].shape
                assert not np.array_equal(first[name][0], first[name][1])
                # The restarted episode has another state and another appearance.
                assert not np.array_equal(after[name][0], last[name])


def test_a_mask_renders_a_part(views):
    env = gymnasium.make_vec("OpenDactyl/Spin-v0", num_envs=2, observation="images", views=views)
    env.reset(seed=1)
    before = env.step(np.full((2, 20), 7))[0]
    after = env.reset(options={"reset_mask": np.array([True, False])})[0]
    for name in VIEWS:
        np.testing.assert_array_equal(after[name][1], before[name][1])
        assert not np.array_equal(after[name][0], before[name][0])


def test_the_state_beside_images_has_the_goal_but_not_the_object():
    class Blank:
        names, image_size = ("one",), 8

        def __init__(self, object_name, **options):
            self.options = options

        def images(self, state, *, seed, episode):
            return np.zeros((1, 8, 8, 3), dtype=np.uint8)

        def close(self):
            pass

    for layout, size in (("default", 39), ("joints", 63), ("d18", 19)):
        env = HandSingleEnv(observation="images", views=Blank, layout=layout)
        observation, _ = env.reset(seed=0)
        assert observation["state"].shape == (size,)
        whole = HandSingleEnv(layout=layout).reset(seed=0)[0]
        np.testing.assert_array_equal(observation["state"][:15], whole[:15])
        if layout != "d18":
            np.testing.assert_array_equal(observation["state"][15:19], whole[22:26])


def test_a_vector_environment_renders_each_simulation(views):
    options = {"render_mode": "rgb_array", "views": views}
    env = gymnasium.make_vec("OpenDactyl/Spin-v0", num_envs=2, **options)
    env.reset(seed=0)
    frames = env.render()
    assert [frame.shape for frame in frames] == [(480, 480, 3)] * 2
    assert np.abs(frames[0].astype(int) - frames[1]).max() > 100


def test_invalid_settings_are_refused():
    for options in (
        {"observation": "images"}, {"render_mode": "rgb_array"}, {"render_mode": "human"},
        {"observation": "pixels"},
    ):  # fmt: skip
        for kind in (HandSingleEnv, HandVectorEnv):
            with pytest.raises(InputError):
                kind(**options)
    for options in ({"rig": "x"}, {"appearance": "x"}):
        with pytest.raises(InputError):
            gymnasium.make("OpenDactyl/Spin-v0", observation="images", **options)
