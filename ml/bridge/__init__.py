"""The bridge: transfer that is chosen, measured against its twin, and explained."""

from ml.bridge.blocks.switches import Blocks
from ml.bridge.serve.recommender import Recommender, load
from ml.bridge.train import Training, TrainSettings, train

__all__ = ["Blocks", "Recommender", "TrainSettings", "Training", "load", "train"]
