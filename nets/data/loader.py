"""DataLoader: the batches of a dataset, epoch after epoch, from a thread that works ahead."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

import nets
from nets.data.dataset import Dataset, Indices, batch_of
from nets.optim.optimizer import item


class DataLoader:
    """Iterating gives the batches of one epoch; iterating again, those of the next.

    ``dataset``: a Dataset, or anything else with ``len()`` that gives samples by number, of which
    each batch has ``batch_size``.
    ``shuffle``: the order of epoch e is a function of ``seed`` and e, and of nothing else, so a
    run can be repeated and resumed. ``drop_last`` leaves out a last batch that is smaller.
    ``transform`` is applied to each batch (of arrays) before its arrays become Tensors;
    ``prefetch`` batches are prepared ahead in a background thread (0: none, no thread).

    With ``shards`` each rank of a job is given its own part of each batch: the rows of its shards,
    for a step of ``nets.distributed.parallel`` with ``rows="own"``. Which samples make a batch does
    not depend on the number of ranks, which divides that of the shards.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        prefetch: int = 2,
        transform: Callable[[Any], Any] | None = None,
        shards: int = 1,
    ) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise nets.errors.ArgumentError(
                f"a dataset has len() and gives samples by number, unlike a "
                f"{type(dataset).__name__}",
                nets.user_location(),
            )
        _check_count("batch_size", batch_size, 1)
        _check_count("prefetch", prefetch, 0)
        _check_count("shards", shards, 1)
        rest = 0 if drop_last else len(dataset) % batch_size
        if batch_size % shards or rest % shards:
            size = f"of {rest} samples" if rest % shards else f"of {batch_size} samples"
            raise nets.errors.ArgumentError(
                f"a batch {size} cannot be cut evenly into {shards} shards"
                + (": leave out the last one with drop_last=True" if rest % shards else ""),
                nets.user_location(),
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.seed, self.prefetch = drop_last, seed, prefetch
        self.transform = transform
        self.shards = shards
        self.epoch = 0
        """How many epochs have been begun or skipped; the number of the next one."""
        self.position = 0
        """How many batches of the epoch under way have been given."""
        self._resumes = False

    def __len__(self) -> int:
        return _batches_of(len(self.dataset), self.batch_size, self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        if self._resumes:
            self._resumes = False
        else:
            self.epoch, self.position = self.epoch + 1, 0
        order, given, count = self._order(self.epoch - 1), self.position, len(self)
        part = self._part()
        while given < count:  # again where the thread that makes them is not there: after a fork
            batches = self._batches(order, given, part)
            for batch in _ahead(batches, self.prefetch) if self.prefetch else batches:
                given += 1
                self.position += 1
                yield _tensors(batch)

    def _part(self) -> tuple[int, int]:
        """Which part of each batch is wanted, and out of how many."""
        if self.shards == 1:
            return 0, 1
        ranks = nets.distributed.size()
        if self.shards % ranks:
            raise nets.errors.ArgumentError(
                f"{self.shards} shards cannot be dealt out evenly to {ranks} ranks",
                nets.user_location(),
            )
        return nets.distributed.rank(), ranks

    def _order(self, epoch: int) -> Indices:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        key = nets.random.fold_in(nets.random.key(self.seed), epoch)
        order: Indices = nets.random.permutation(len(self.dataset), key).numpy()
        return order

    def _batches(self, order: Indices, first: int, part: tuple[int, int]) -> Iterator[Any]:
        """The batches, or of each the part of that number out of so many."""
        for number in range(first, len(self)):
            start = number * self.batch_size
            chosen = order[start : start + self.batch_size]
            if part[1] > 1:
                chosen = chosen.reshape(part[1], -1)[part[0]]
            batch = batch_of(self.dataset, chosen)
            yield batch if self.transform is None else self.transform(batch)

    def state_dict(self) -> dict[str, int]:
        """Where in which epoch the loader is, and what decides about the rest of that epoch."""
        return {"epoch": self.epoch, "position": self.position, **self._options()}

    def _options(self) -> dict[str, int]:
        return {
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "drop_last": self.drop_last,
            "shuffle": self.shuffle,
            "seed": self.seed,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration go on where the state was taken.

        In the middle of an epoch that gives the rest of it, at its end the next epoch.
        MissingKeyError for what is no such state. ArgumentError where it does not fit: in the
        middle of an epoch it must be of a loader of as many samples, batch_size, drop_last,
        shuffle and seed.
        """
        epoch, position = (_counted(state, key) for key in ("epoch", "position"))
        saved = {key: _counted(state, key) for key in self._options()}
        samples, size, drop_last = (saved[key] for key in ("samples", "batch_size", "drop_last"))
        is_within = 0 < position < _batches_of(samples, size, bool(drop_last))
        for key, value in self._options().items() if is_within else ():
            if saved[key] != value:
                raise nets.errors.ArgumentError(
                    f"the state was taken in the middle of an epoch with {key}={saved[key]}, which "
                    f"cannot go on with {key}={value}",
                    nets.user_location(),
                )
        self._resumes = is_within
        self.epoch, self.position = epoch, position


def _batches_of(samples: int, size: int, drop_last: bool) -> int:
    return samples // size if drop_last else -(-samples // size)


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise nets.errors.ArgumentError(
            f"{name} is a whole number from {least} on, not {value!r}", nets.user_location()
        )


def _counted(state: Mapping[str, Any], key: str) -> int:
    """A number of a loader's state."""
    value = item(state, key, "the state of a loader")
    is_number = isinstance(value, int | np.integer)
    if not is_number or (value < (key == "batch_size") and key != "seed"):
        raise nets.errors.ArgumentError(
            f"the state of a loader has no {key} {value!r}", nets.user_location()
        )
    return int(value)


def _tensors(batch: Any) -> Any:
    if isinstance(batch, tuple):
        return tuple(_tensors(part) for part in batch)
    if isinstance(batch, dict):
        return {name: _tensors(part) for name, part in batch.items()}
    if isinstance(batch, list) and batch and isinstance(batch[0], str):
        return batch
    return nets.as_tensor(batch)


_END = object()


def _ahead(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """The same batches, made in a thread that is up to ``count`` of them ahead.

    What goes wrong there is raised here. When this iteration is given up, the thread ends. In a
    forked child, where there is no such thread, the batches end.
    """
    process = os.getpid()
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(count)
    given_up = threading.Event()

    def put(item: tuple[Any, BaseException | None]) -> bool:
        while not given_up.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((_END, None))
        except BaseException as error:  # whatever it is, it belongs to whoever asks for batches
            put((_END, error))

    thread = threading.Thread(target=work, name="nets-batches", daemon=True)
    thread.start()
    try:
        while os.getpid() == process:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is _END:
                return
            yield batch
    finally:
        if os.getpid() == process:  # else the queue may be locked by the thread that is not there
            given_up.set()
            thread.join()
