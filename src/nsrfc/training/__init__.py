"""Training: one loop, four tasks.

api         train(): data, folder, model
trainer     trains the networks in order, and decides which steps are used
tasks       batches, loss and validation score of each network
loop        steps, schedule, validation, early stopping
thresholds  chosen on validation identities, with the clustering code of inference
checkpoint, split, sample, pieces, calibration, networks, result, curves
"""

from nsrfc.training.api import train
from nsrfc.training.config import TrainingConfig

__all__ = ["TrainingConfig", "train"]
