"""Random stateful Python programs, which ``tests.property.lifecycle`` runs in several ways."""

from tests.property.stateful import containers, control, gradients, learning, plain_values, tensors
from tests.property.stateful.generator import KINDS, random_program

__all__ = [
    "KINDS",
    "containers",
    "control",
    "gradients",
    "learning",
    "plain_values",
    "random_program",
    "tensors",
]
