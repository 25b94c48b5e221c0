"""The bridge: transfer that is chosen, measured against its twin, and explained."""

from ml.bridge.recommender import Recommender, load
from ml.bridge.train import Training, TrainSettings, train

__all__ = ["Recommender", "TrainSettings", "Training", "load", "train"]
