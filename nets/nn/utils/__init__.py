"""What goes with layers: gradients and parameters of a model, sequences of several lengths."""

from nets.nn.utils import rnn
from nets.nn.utils.gradients import (
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
    one_hot,
    parameters_to_vector,
    vector_to_parameters,
)

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "one_hot",
    "parameters_to_vector",
    "rnn",
    "vector_to_parameters",
]
