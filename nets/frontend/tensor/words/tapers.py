"""Tapers: weights of samples that fall towards both ends, as spectra and filters take them."""

from __future__ import annotations

import math

import numpy as np

from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import number_of
from nets.frontend.tensor.dispatch import constant
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.words.arguments import count_of


def hanning(M: int) -> Tensor:
    """M weights (float64) 0.5 + 0.5 · cos(πn / (M − 1)), n = 1 − M, 3 − M, …, M − 1.

    One weight is 1. DTypeError for what is no integer, ShapeError for a negative one. Of von Hann;
    Blackman, Tukey, The Measurement of Power Spectra, 1958, appendix B.5.
    """
    return _cosines(M, 0.5, 0.5)


def hamming(M: int) -> Tensor:
    """M weights (float64) 0.54 + 0.46 · cos(πn / (M − 1)), n = 1 − M, 3 − M, …, M − 1.

    Errors and source are those of ``hanning``.
    """
    return _cosines(M, 0.54, 0.46)


def blackman(M: int) -> Tensor:
    """M weights (float64) 0.42 + 0.5 · cos(πn / (M − 1)) + 0.08 · cos(2πn / (M − 1)), where
    n = 1 − M, 3 − M, …, M − 1.

    Errors and source are those of ``hanning``.
    """
    return _cosines(M, 0.42, 0.5, 0.08)


def bartlett(M: int) -> Tensor:
    """M weights (float64) 1 − abs(n) / (M − 1), n = 1 − M, 3 − M, …, M − 1: a triangle.

    Errors are those of ``hanning``.
    """
    place = _places(M)
    return F.where(F.less_equal(place, 0), F.add(1, place), F.subtract(1, place))


def kaiser(M: int, beta: float) -> Tensor:
    """M weights (float64) I0(beta · √(1 − (n / (M − 1))²)) / I0(beta), n = 1 − M, 3 − M, …, M − 1,
    where I0 is the modified Bessel function of order 0; the larger ``beta``, the steeper.

    ArgumentError for a ``beta`` that is no number, other errors are those of ``hanning``. Of
    Kaiser; Kuo, Kaiser, System Analysis by Digital Computer, 1966, chapter 7.
    """
    count, steepness = count_of(M, "the number of weights"), number_of(beta, "beta")
    with np.errstate(over="ignore", invalid="ignore"):  # NaN, as in NumPy, where I0 is too large
        weights = np.kaiser(count, steepness)
    return constant(np.asarray(weights, np.float64))


def _places(M: int) -> Tensor:
    """From −1 to 1, evenly; of one sample 0."""
    count = count_of(M, "the number of weights")
    steps = F.arange(1 - count, count, 2, dtype="float64")
    return F.divide(steps, max(count - 1, 1))


def _cosines(M: int, mean: float, *weights: float) -> Tensor:
    count = count_of(M, "the number of weights")
    turn = F.multiply(F.arange(1 - count, count, 2, dtype="float64"), math.pi)
    result: Tensor = F.full((count,), mean)
    for k, weight in enumerate(weights, 1):
        angle = F.divide(F.multiply(turn, k), max(count - 1, 1))
        result = F.add(result, F.multiply(weight, F.cos(angle)))
    return result
