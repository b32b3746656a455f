"""The environment, physics randomization, PPO, and what the policy sees and does."""
