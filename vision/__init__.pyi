from .estimator import Pose as Pose
from .estimator import PoseEstimator as PoseEstimator
from .evaluation.config import EvalConfig as EvalConfig
from .evaluation.evaluate import evaluate as evaluate
from .training.config import VisionConfig as VisionConfig
from .training.train import train as train
