"""Training: one loop, four tasks.

train     the entrance: data, folder, model
course    the networks in their order, and which of them earn their place
tasks     what each learns from
loop      steps, schedule, validation, early stopping
plan      the memory and time that it will take
checkpoint, split, pieces, quality, curves
"""

from nsrfc.training.api import train
from nsrfc.training.config import TrainingConfig

__all__ = ["TrainingConfig", "train"]
