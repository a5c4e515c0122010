"""Datasets: samples by number, and whole batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

import nets

Indices = npt.NDArray[np.int64]


class Dataset:
    """Base of datasets: subclasses write ``__len__`` and ``__getitem__``.

    A sample is an array, number or text, or a tuple or dict of them.
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def batch(self, indices: Indices) -> Any:
        """The samples at these positions, with a new first axis: in the form of a sample."""
        return collate([self[int(i)] for i in indices])


def batch_of(dataset: Any, indices: Indices) -> Any:
    """These samples of a Dataset, or of anything else with ``len()`` that can be indexed."""
    if isinstance(dataset, Dataset):
        return dataset.batch(indices)
    return collate([dataset[int(i)] for i in indices])


def _check_samples(dataset: Dataset, indices: Any) -> None:
    """IndexOutOfBoundsError unless there are samples of these numbers, maybe from the end."""
    count, numbers = len(dataset), np.asarray(indices)
    if numbers.dtype.kind in "iu" and ((numbers < -count) | (numbers >= count)).any():
        raise nets.errors.IndexOutOfBoundsError(
            f"there is no sample {indices} among {count}", nets.user_location()
        )


class TensorDataset(Dataset):
    """``arrays`` or Tensors of the same length: a sample is the tuple of their elements at a
    number.

    The elements are kept as they are, neither copied nor changed.
    """

    def __init__(self, *arrays: npt.ArrayLike | nets.Tensor) -> None:
        self.arrays = tuple(np.asarray(array) for array in arrays)
        if len({array.shape[:1] for array in self.arrays}) != 1 or not self.arrays[0].ndim:
            raise nets.errors.ShapeError(
                f"the arrays of a dataset have one length, not the shapes "
                f"{', '.join(str(array.shape) for array in self.arrays) or 'of nothing'}",
                nets.user_location(),
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        _check_samples(self, index)
        return tuple(array[index] for array in self.arrays)

    def batch(self, indices: Indices) -> tuple[Any, ...]:
        _check_samples(self, indices)
        return tuple(array[indices] for array in self.arrays)


class Subset(Dataset):
    """Some samples of another dataset: those at ``indices``, in that order."""

    def __init__(self, dataset: Dataset, indices: Sequence[int] | Indices) -> None:
        self.dataset = dataset
        found = np.asarray(indices)
        if found.size and found.dtype.kind not in "iu":
            raise nets.errors.DTypeError(
                f"samples are chosen by integers, not by {found.dtype}", nets.user_location()
            )
        self.indices = found.astype(np.int64).reshape(-1)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        _check_samples(self, index)
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Indices) -> Any:
        _check_samples(self, indices)
        return batch_of(self.dataset, self.indices[indices])


def random_split(
    dataset: Dataset, lengths: Sequence[int] | Sequence[float], seed: int = 0
) -> list[Subset]:
    """Parts of a dataset without overlap, chosen by the seed.

    ``lengths``: numbers of samples, or fractions that add up to 1 (what rounding leaves goes to
    the first parts). ArgumentError where they are not those of the dataset.
    """
    sizes = _sizes(len(dataset), lengths)
    order = nets.random.permutation(len(dataset), nets.random.key(seed)).numpy()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _sizes(total: int, lengths: Sequence[int] | Sequence[float]) -> list[int]:
    are_numbers = isinstance(lengths, tuple | list | np.ndarray) and all(
        isinstance(length, int | float | np.number) and length >= 0 for length in lengths
    )
    if not are_numbers:
        raise nets.errors.ArgumentError(
            f"lengths are a list of numbers from 0 on, not {lengths!r}", nets.user_location()
        )
    if all(isinstance(length, int | np.integer) for length in lengths) and sum(lengths) == total:
        return [int(length) for length in lengths]
    if not abs(sum(lengths) - 1) <= 1e-6:
        raise nets.errors.ArgumentError(
            f"{list(lengths)} are neither parts of {total} samples nor of 1", nets.user_location()
        )
    sizes = [int(total * length) for length in lengths]
    for i in range(total - sum(sizes)):
        sizes[i % len(sizes)] += 1
    return sizes


def collate(samples: Sequence[Any]) -> Any:
    """Samples of one form with a new first axis: arrays, lists of texts, in the same tuples and
    dicts.

    ShapeError where samples differ in shape.
    """
    first = samples[0]
    if isinstance(first, tuple):
        return tuple(collate(column) for column in zip(*samples, strict=True))
    if isinstance(first, dict):
        return {name: collate([sample[name] for sample in samples]) for name in first}
    if isinstance(first, str):
        return list(samples)
    arrays = [np.asarray(sample) for sample in samples]
    shapes = list(dict.fromkeys(array.shape for array in arrays))
    if len(shapes) > 1:
        raise nets.errors.ShapeError(
            f"samples of shapes {shapes[0]} and {shapes[1]} do not form a batch; pad them",
            nets.user_location(),
        )
    return np.stack(arrays)
