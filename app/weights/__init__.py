"""The published forms of the model: listed as data, chosen for the machine, pulled, and found on disk again."""

from app.weights.weights import STAND_IN, Weights

__all__ = ["STAND_IN", "Weights"]
