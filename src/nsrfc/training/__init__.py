"""Training: one loop, four tasks.

api         train(): data, folder, model
trainer     the networks in their order, and which of them earn their place
tasks       what each learns from
loop        steps, schedule, validation, early stopping
thresholds  chosen on validation identities, with the function that serves
checkpoint, split, sample, pieces, calibration, networks, result, curves
"""

from nsrfc.training.api import train
from nsrfc.training.config import TrainingConfig

__all__ = ["TrainingConfig", "train"]
