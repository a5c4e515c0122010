"""Windows of signals: weights that fall towards both ends, as NumPy has them."""

from __future__ import annotations

import numpy as np

from nets.frontend.tensor.dispatch import constant
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import count_of, number_of


def bartlett(M: int) -> Tensor:
    """A triangle of ``M`` weights."""
    return constant(np.bartlett(count_of(M, "a number of weights")))


def blackman(M: int) -> Tensor:
    """Blackman's ``M`` weights, of three cosines."""
    return constant(np.blackman(count_of(M, "a number of weights")))


def hamming(M: int) -> Tensor:
    """Hamming's ``M`` weights, a raised cosine that does not reach 0."""
    return constant(np.hamming(count_of(M, "a number of weights")))


def hanning(M: int) -> Tensor:
    """``M`` weights of a raised cosine that reaches 0."""
    return constant(np.hanning(count_of(M, "a number of weights")))


def kaiser(M: int, beta: float) -> Tensor:
    """Kaiser's ``M`` weights, of Bessel's function; the larger ``beta``, the steeper."""
    shape = number_of(beta, "beta")
    return constant(np.asarray(np.kaiser(count_of(M, "a number of weights"), shape)))
