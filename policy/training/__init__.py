"""Policy training: PPO, distillation, curriculum, checkpoints and evaluation."""
