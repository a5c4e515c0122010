"""Dropout: elements, or whole channels, left out at random in training.

The numbers come from ``nets.random.default_generator``. ``inplace`` is taken and makes no
difference.

``input`` is a tensor or array, ``p`` the probability to be left out: ArgumentError outside [0, 1].
Without ``training`` the elements stay as they are.
"""

from __future__ import annotations

from typing import Final

import nets
from nets.nn.functional.arguments import TensorLike, check_number

_ALPHA: Final = -1.7580993408473766
"""−λ · α of selu, which its results go to for small x."""


def dropout(
    input: TensorLike, p: float = 0.5, training: bool = True, inplace: bool = False
) -> nets.Tensor:
    """Each element with probability p replaced by 0, the others divided by 1 − p.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    ArgumentError for a p outside [0, 1]. As it is where ``training`` is false.
    """
    x = nets.as_tensor(input)
    check_number("the probability p", p, 0, 1)
    if not training or p == 0:
        return nets.positive(x)
    if p == 1:
        return x * 0
    kept = nets.random.uniform(x.shape) >= p
    return nets.where(kept, x / (1 - p), 0)


def _kept(x: nets.Tensor, p: float, whole: int | None) -> nets.Tensor:
    """Which elements stay, or which of the entries along the first axes."""
    shape = x.shape if whole is None else (*x.shape[:whole], *(1,) * (x.ndim - whole))
    return nets.random.uniform(shape) >= p


def _by_channels(
    name: str, input: TensorLike, p: float, training: bool, ranks: tuple[int, ...]
) -> nets.Tensor:
    x = nets.as_tensor(input)
    check_number("the probability p", p, 0, 1)
    if x.ndim not in ranks:
        raise nets.errors.ShapeError(
            f"{name} takes {' or '.join(map(str, ranks))} axes, not shape {x.shape}",
            nets.user_location(),
        )
    if not training or p == 0:
        return nets.positive(x)
    if p == 1:
        return x * 0
    channels = 1 if x.ndim == ranks[0] and len(ranks) > 1 else 2
    return nets.where(_kept(x, p, channels), x / (1 - p), 0)


def dropout1d(
    input: TensorLike, p: float = 0.5, training: bool = True, inplace: bool = False
) -> nets.Tensor:
    """Each channel of (N, C, L) or (C, L) replaced by 0 with probability p, the others divided by
    1 − p: Tompson et al., "Efficient object localization using convolutional networks", 2015."""
    return _by_channels("dropout1d", input, p, training, (2, 3))


def dropout2d(
    input: TensorLike, p: float = 0.5, training: bool = True, inplace: bool = False
) -> nets.Tensor:
    """Each channel of (N, C, H, W) replaced by 0 with probability p; see ``dropout1d``.

    Of three axes, the first two are taken for N and C, as in PyTorch.
    """
    x = nets.as_tensor(input)
    return _by_channels("dropout2d", x, p, training, (4,) if x.ndim == 4 else (3,))


def dropout3d(
    input: TensorLike, p: float = 0.5, training: bool = True, inplace: bool = False
) -> nets.Tensor:
    """Each channel of (N, C, D, H, W) or (C, D, H, W) replaced by 0 with probability p; see
    ``dropout1d``."""
    return _by_channels("dropout3d", input, p, training, (4, 5))


def _alpha(x: nets.Tensor, p: float, training: bool, whole: int | None) -> nets.Tensor:
    check_number("the probability p", p, 0, 1)
    if not training or p == 0:
        return nets.positive(x)
    if p == 1:
        return x * 0
    scale: float = 1 / ((1 - p) * (1 + p * _ALPHA * _ALPHA)) ** 0.5
    kept = nets.where(_kept(x, p, whole), x, _ALPHA)
    return kept * scale - scale * _ALPHA * p


def alpha_dropout(
    input: TensorLike, p: float = 0.5, training: bool = False, inplace: bool = False
) -> nets.Tensor:
    """Each element with probability p replaced by what ``selu`` goes to, and all scaled and moved
    so that mean 0 and variance 1 stay (Klambauer et al., "Self-normalizing neural networks", 2017).
    """
    return _alpha(nets.as_tensor(input), p, training, None)


def feature_alpha_dropout(
    input: TensorLike, p: float = 0.5, training: bool = False, inplace: bool = False
) -> nets.Tensor:
    """``alpha_dropout`` of whole channels of (N, C, …). ShapeError for fewer than two axes."""
    x = nets.as_tensor(input)
    if x.ndim < 2 and training:
        raise nets.errors.ShapeError(
            f"feature_alpha_dropout takes (N, C, …), not shape {x.shape}", nets.user_location()
        )
    return _alpha(x, p, training, 2)
