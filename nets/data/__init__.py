"""Data in batches: datasets, loaders that shuffle and prepare ahead, and files of state."""

from nets.data.dataset import Dataset, Subset, TensorDataset, random_split
from nets.data.loader import DataLoader
from nets.data.storage import load, save

Iterator = DataLoader
"""The name DataLoader had in the original NETS."""

__all__ = [
    "Dataset",
    "TensorDataset",
    "Subset",
    "random_split",
    "DataLoader",
    "Iterator",
    "save",
    "load",
]
