"""What goes with layers: gradients and parameters of a model, norms of weights and other tensors
that are computed, sequences of several lengths."""

from nets.nn.utils import parametrizations, parametrize, rnn
from nets.nn.utils.gradients import (
    clip_grad_norm_,
    clip_grad_value_,
    get_total_norm,
    one_hot,
    parameters_to_vector,
    vector_to_parameters,
)
from nets.nn.utils.norms import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "one_hot",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
