"""Real data: readers of well-known files, and the sets that come with scikit-learn.

Nothing is ever downloaded; a missing file is an error that says where it is to be had.
"""

from nets.datasets.bundled import breast_cancer, diabetes, digits, iris, wine
from nets.datasets.cifar import cifar10
from nets.datasets.mnist import fashion_mnist, mnist, read_idx
from nets.datasets.table import csv, read_csv

__all__ = [
    "digits",
    "iris",
    "wine",
    "breast_cancer",
    "diabetes",
    "mnist",
    "fashion_mnist",
    "read_idx",
    "cifar10",
    "csv",
    "read_csv",
]
