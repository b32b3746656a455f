"""The environment, physics randomization, PPO, and what the policy sees and does.

Importing it makes Gymnasium know `OpenDactyl/Spin-v0`, `FaceUp-v0` and `Reorient-v0`, where
Gymnasium is installed; what they are made of is imported when one is made.
"""


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
            kwargs={"task": task},
        )


_register()
