"""What a trained model can do: perplexity by length, resolution of its attention, pass keys found.

Everything takes any model, mask and cache. A cache is given as a function that makes new ones, one object a layer:
`cache=model.caches`, or `cache=lambda: [LandmarkCache(50, k=4) for _ in range(4)]`; text then goes through in chunks.
"""

from lexviz.evaluate.loss import Losses, bits_per_byte, first_parts, loss_by_place, losses, perplexity, repeats, twice
from lexviz.evaluate.passkeys import Trial, interval, passkey_accuracy, passkey_trials
from lexviz.evaluate.resolution import measured_resolution, scores_by_distance

__all__ = [
    "Losses", "Trial", "bits_per_byte", "first_parts", "interval", "loss_by_place", "losses", "measured_resolution",
    "passkey_accuracy", "passkey_trials", "perplexity", "repeats", "scores_by_distance", "twice",
]  # fmt: skip
