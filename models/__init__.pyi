from .choices import POSE_NETWORKS as POSE_NETWORKS
from .policy.actor_critic import Actor as Actor
from .policy.actor_critic import Critic as Critic
from .pose.outputs import PoseOutput as PoseOutput
from .pose.registry import build_pose_network as build_pose_network
from .weights import load_weights as load_weights
from .weights import save_weights as save_weights
