"""The environment, physics randomization, PPO, and what the policy observes and does.

Importing the package registers `OpenDactyl/Spin-v0`, `FaceUp-v0` and `Reorient-v0` with Gymnasium,
where it is installed; the environments' modules are imported when one is made.
"""

import lazy_loader as _lazy


def _register() -> None:
    try:
        from gymnasium.envs.registration import register
    except ImportError:  # The run-time loop needs no Gymnasium.
        return
    for task, name in (("spin", "Spin"), ("face-up", "FaceUp"), ("reorient", "Reorient")):
        register(
            f"OpenDactyl/{name}-v0",
            entry_point="opendactyl.policy.env.gym_env:HandSingleEnv",
            vector_entry_point="opendactyl.policy.env.gym_vector_env:HandVectorEnv",
            kwargs={"task": task, "views": "opendactyl.render.episode_views:EpisodeViews"},
        )


_register()
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
