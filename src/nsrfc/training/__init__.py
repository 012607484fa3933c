"""Training: one loop, four tasks.

train     the entrance: data, folder, model
course    the networks in their order, and which of them earn their place
tasks     what each learns from
loop      steps, schedule, validation, early stopping
plan      the memory and time that it will take
checkpoint, split, pieces, quality, curves
"""

from nsrfc.training.config import TrainingConfig
from nsrfc.training.entrance import train

__all__ = ["TrainingConfig", "train"]
