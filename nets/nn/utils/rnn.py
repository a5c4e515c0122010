"""Sequences of several lengths: side by side with padding, or packed without any.

A packed batch has the elements of all sequences at the first time, then those at the second, and so
on, the longest sequence first. Lengths are known numbers: they are shapes of what is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import nets
from nets.nn.functional.arguments import check

Numbers = npt.NDArray[np.int64]


class PackedSequence(NamedTuple):
    """The elements of sequences, time by time, the longest sequence first."""

    data: nets.Tensor
    """(Σ lengths, *)."""
    batch_sizes: Numbers
    """How many sequences there are at each time."""
    sorted_indices: Numbers
    """Which sequence comes first, second, …"""
    unsorted_indices: Numbers
    """At which place each sequence comes."""

    def lengths(self) -> Numbers:
        """The length of each sequence, in the order they were given in."""
        places = np.arange(len(self.unsorted_indices))[:, None]
        found: Numbers = (self.batch_sizes > places).sum(1)[self.unsorted_indices]
        return found

    def _places(self) -> Numbers:
        """Where the element of a time and a sequence stands in ``data``: (L, N)."""
        starts = np.cumsum(self.batch_sizes) - self.batch_sizes
        return starts[:, None] + self.unsorted_indices

    def padded(
        self, padding_value: float = 0.0, total: int | None = None
    ) -> tuple[nets.Tensor, Numbers]:
        """All sequences side by side, (L, N, *), and their lengths; ``total`` is L where longer."""
        lengths, places = self.lengths(), self._places()
        inside = np.arange(len(places))[:, None] < lengths
        x = nets.take(self.data, np.where(inside, places, 0), axis=0)
        shape = inside.shape + (1,) * (x.ndim - 2)
        x = nets.where(inside.reshape(shape), x, padding_value)
        more = 0 if total is None else total - len(places)
        if more > 0:
            x = nets.pad(x, [(0, more)] + [(0, 0)] * (x.ndim - 1), padding_value)
        return x, lengths

    def like(self, x: nets.Tensor) -> PackedSequence:
        """The elements of (L, N, *) packed in the same way."""
        flat = nets.reshape(x, (-1, *x.shape[2:]))
        times = np.repeat(np.arange(len(self.batch_sizes)), self.batch_sizes)
        rows = np.concatenate([self.sorted_indices[:n] for n in self.batch_sizes])
        data = nets.take(flat, times * x.shape[1] + rows, axis=0)
        return self._replace(data=data)


def _numbers(lengths: Any, count: int) -> Numbers:
    found = np.asarray(lengths.tolist() if isinstance(lengths, nets.Tensor) else lengths)
    fits = found.shape == (count,) and found.dtype.kind in "iu" and found.size > 0
    check(fits and bool((found > 0).all()), f"lengths are {count} whole numbers from 1 on")
    return found.astype(np.int64)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Sequences (L, N, *), or (N, L, *) with ``batch_first``, of these lengths, packed.

    With ``enforce_sorted`` the longest comes first; ArgumentError where it does not, and for
    lengths that are not known or not between 1 and L.

    ``input`` is a tensor or array of the sequences, with anything behind the end of each;
    ``lengths`` has one whole number for each.
    """
    x = nets.as_tensor(input)
    x = nets.swapaxes(x, 0, 1) if batch_first else x
    sizes = _numbers(lengths, x.shape[1])
    check(int(sizes.max()) <= x.shape[0], f"a length is beyond the {x.shape[0]} times of the input")
    order = np.argsort(-sizes, kind="stable")
    check(
        not enforce_sorted or bool((order == np.arange(len(sizes))).all()),
        "the lengths do not descend: sort the sequences, or pass enforce_sorted=False",
    )
    counts = (sizes > np.arange(int(sizes.max()))[:, None]).sum(1)
    return PackedSequence(x, counts, order, np.argsort(order)).like(x)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[nets.Tensor, nets.Tensor]:
    """Sequences side by side again, ``padding_value`` behind each, and their lengths.

    ``total_length`` times, or as many as the longest has. ArgumentError where these are more.

    (L, N, *), or with ``batch_first`` (N, L, *), and the lengths (N,), integers.
    """
    longest = len(sequence.batch_sizes)
    check(
        total_length is None or total_length >= longest,
        f"total_length is not below the longest sequence, of {longest}",
    )
    x, lengths = sequence.padded(padding_value, total_length)
    return nets.swapaxes(x, 0, 1) if batch_first else x, nets.Tensor(lengths)


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> nets.Tensor:
    """Sequences (Lᵢ, *) side by side, (L, N, *), with ``padding_value`` after each, or before it
    with ``padding_side="left"``; (N, L, *) with ``batch_first``."""
    check(padding_side in ("right", "left"), f"padding_side is right or left, not {padding_side!r}")
    parts = [nets.as_tensor(x) for x in sequences]
    longest = max(x.shape[0] for x in parts)
    padded = []
    for x in parts:
        more = longest - x.shape[0]
        width = (0, more) if padding_side == "right" else (more, 0)
        padded.append(nets.pad(x, [width] + [(0, 0)] * (x.ndim - 1), padding_value))
    return nets.stack(padded, 0 if batch_first else 1)


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (Lᵢ, *) packed; ``enforce_sorted`` as in ``pack_padded_sequence``."""
    lengths = [nets.as_tensor(x).shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, False, enforce_sorted)


def unpad_sequence(
    padded_sequences: Any, lengths: Any, batch_first: bool = False
) -> list[nets.Tensor]:
    """The sequences of (L, N, *) by themselves, each of its length; ``batch_first``: (N, L, *).

    ``padded_sequences`` is a tensor or array; ``lengths`` has a whole number for each sequence.
    """
    x = nets.as_tensor(padded_sequences)
    x = x if batch_first else nets.swapaxes(x, 0, 1)
    return [x[i, : int(n)] for i, n in enumerate(_numbers(lengths, x.shape[0]))]


def unpack_sequence(packed_sequences: PackedSequence) -> list[nets.Tensor]:
    """The sequences by themselves, each of its length.

    ``packed_sequences`` is what ``pack_sequence`` gives.
    """
    return unpad_sequence(*packed_sequences.padded())
