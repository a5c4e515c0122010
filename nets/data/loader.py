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


class DataLoader:
    """Iterating gives the batches of one epoch; iterating again, those of the next.

    ``dataset``: a Dataset, or anything else with ``len()`` that gives samples by number.
    ``shuffle``: the order of epoch e is a function of ``seed`` and e, and of nothing else, so a
    run can be repeated and resumed. ``drop_last`` leaves out a last batch that is smaller.
    ``transform`` is applied to each batch (of arrays) before its arrays become Tensors;
    ``prefetch`` batches are prepared ahead in a background thread (0: none, no thread).
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
    ) -> None:
        if batch_size < 1 or prefetch < 0:
            raise nets.errors.ArgumentError(
                f"a batch has at least one sample, not {batch_size}; prefetch is not negative",
                nets.user_location(),
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.drop_last, self.seed, self.prefetch = drop_last, seed, prefetch
        self.transform = transform
        self.epoch = 0
        """How many epochs have been begun or skipped; the number of the next one."""
        self.position = 0
        """How many batches of the epoch under way have been given."""
        self._resumes = False

    def __len__(self) -> int:
        samples = len(self.dataset)
        rounding = 0 if self.drop_last else self.batch_size - 1
        return (samples + rounding) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        if self._resumes:
            self._resumes = False
        else:
            self.epoch, self.position = self.epoch + 1, 0
        order, given, count = self._order(self.epoch - 1), self.position, len(self)
        while given < count:  # again where the thread that makes them is not there: after a fork
            batches = self._batches(order, given)
            for batch in _ahead(batches, self.prefetch) if self.prefetch else batches:
                given += 1
                self.position += 1
                yield _tensors(batch)

    def _order(self, epoch: int) -> Indices:
        if not self.shuffle:
            return np.arange(len(self.dataset))
        key = nets.random.fold_in(nets.random.key(self.seed), epoch)
        order: Indices = nets.random.permutation(len(self.dataset), key).numpy()
        return order

    def _batches(self, order: Indices, first: int) -> Iterator[Any]:
        for number in range(first, len(self)):
            start = number * self.batch_size
            batch = batch_of(self.dataset, order[start : start + self.batch_size])
            yield batch if self.transform is None else self.transform(batch)

    def state_dict(self) -> dict[str, int]:
        """Where in which epoch the loader is."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration give the rest of the epoch the state was taken in."""
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
        self._resumes = self.epoch > 0


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
