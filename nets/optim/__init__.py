"""Optimisers and learning-rate schedules, with PyTorch's names and formulas."""

from nets.optim.adaptive import Adagrad, Adam, AdamW, Lion, RMSprop
from nets.optim.optimizer import Optimizer, ParameterGroup
from nets.optim.schedule import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from nets.optim.sgd import SGD

__all__ = [
    "Optimizer",
    "ParameterGroup",
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Lion",
    "LRScheduler",
    "LambdaLR",
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "LinearLR",
    "CosineAnnealingLR",
    "OneCycleLR",
    "SequentialLR",
    "ReduceLROnPlateau",
]
