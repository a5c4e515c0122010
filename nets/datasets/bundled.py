"""The small sets that come with scikit-learn, as arrays that layers and losses take."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

import nets


def digits(flat: bool = True) -> nets.data.TensorDataset:
    """1,797 handwritten digits: images float32 in [0, 1] of shape (64,), labels int64.

    Without ``flat``, images of shape (1, 8, 8) for convolutions.
    """
    found = _bundled("load_digits")
    images = found.data.astype(np.float32) / 16
    if not flat:
        images = images.reshape(-1, 1, 8, 8)
    return nets.data.TensorDataset(images, found.target.astype(np.int64))


def iris() -> nets.data.TensorDataset:
    """150 irises: 4 measures in centimetres (float32), one of 3 species (int64)."""
    return _classified("load_iris")


def wine() -> nets.data.TensorDataset:
    """178 wines: 13 chemical measures (float32), one of 3 cultivators (int64)."""
    return _classified("load_wine")


def breast_cancer() -> nets.data.TensorDataset:
    """569 tumours: 30 measures (float32), malignant 0 or benign 1 (int64)."""
    return _classified("load_breast_cancer")


def diabetes() -> nets.data.TensorDataset:
    """442 patients: 10 standardised measures, progression after a year of shape (1,), float32."""
    found = _bundled("load_diabetes")
    return nets.data.TensorDataset(
        found.data.astype(np.float32), found.target.astype(np.float32)[:, None]
    )


def _classified(loader: str) -> nets.data.TensorDataset:
    found = _bundled(loader)
    return nets.data.TensorDataset(found.data.astype(np.float32), found.target.astype(np.int64))


def _bundled(loader: str) -> Any:
    try:
        module = import_module("sklearn.datasets")
    except ImportError:
        raise nets.errors.LoadError(
            "these data come with scikit-learn, which is not installed: "
            'pip install "nets-compiler[demo]"',
            nets.user_location(),
        ) from None
    return getattr(module, loader)()
