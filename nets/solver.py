"""Solver: trains and evaluates a model over data, keeps a history, stops early, and resumes.

The training step — forward, backward, update — is one traced function, so one native call. What
a run depends on is saved together: parameters, the optimiser's and the schedule's state, the
place in the data, the random generator, the history. A run that was interrupted and resumed
from a checkpoint, be it in the middle of an epoch, ends with the same bits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, Protocol

import nets

Metric = Callable[[nets.Tensor, nets.Tensor], nets.Tensor]
Means = dict[str, float]


class Schedule(Protocol):
    """What a Solver needs of a learning-rate schedule."""

    def step(self, *metrics: Any) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def accuracy(outputs: nets.Tensor, targets: nets.Tensor) -> nets.Tensor:
    """The part of the samples whose largest score is that of the right class.

    Scores (N, C) and class indices (N,) or one-hot rows (N, C).
    """
    wanted = nets.argmax(targets, 1) if targets.ndim > 1 else targets
    return nets.mean(nets.astype(nets.argmax(outputs, 1) == wanted, "float32"))


class Solver:
    """Trains ``model`` by ``optimizer`` so that ``criterion(model(*inputs), target)`` gets small.

    ``metrics``: functions of outputs and targets by name, each a mean over the batch; the text
    "accuracy" stands for ``nets.solver.accuracy``. ``scheduler`` is stepped after every epoch or,
    with ``schedule="batch"``, after every batch; ReduceLROnPlateau is given the loss.
    ``trace=False`` runs the steps eagerly, for debugging.

    A batch is a tuple of inputs and, last, the target.

    With ``shards`` the steps are those of ``nets.distributed.parallel``: each batch is cut into so
    many equal parts, on as many ranks as there are, and the run has the same bits on any number of
    them, also where it is resumed on another one. A batch that cannot be cut evenly, such as the
    last one, is done whole by every rank. Give every rank the same batches, or let a ``DataLoader``
    with as many ``shards`` give it its part of each. The first rank alone prints, and writes
    checkpoints.
    """

    def __init__(
        self,
        model: nets.nn.Module,
        criterion: Callable[[Any, Any], nets.Tensor],
        optimizer: nets.optim.Optimizer,
        metrics: Mapping[str, Metric] | Sequence[str] = (),
        scheduler: Schedule | None = None,
        schedule: Literal["epoch", "batch"] = "epoch",
        trace: bool = True,
        shards: int = 1,
    ) -> None:
        if schedule not in ("epoch", "batch"):
            raise nets.errors.ArgumentError(
                f"schedule is 'epoch' or 'batch', not {schedule!r}", nets.user_location()
            )
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.metrics = _metrics(metrics)
        self.scheduler, self.schedule = scheduler, schedule
        self.history: dict[str, list[float]] = {}
        """By name, one number per epoch; those of the evaluation begin with ``eval_``."""
        self.epoch = 0
        """How many epochs are over."""
        self.best: dict[str, Any] | None = None
        """The model's state after the best epoch so far."""
        self._best_value, self._since_best = math.inf, 0
        self._sums: Means = {}
        self._samples = 0
        self.shards = shards
        self._train_step = _Step(self._train, trace, shards)
        self._evaluate_step = _Step(self._evaluate, trace, shards)

    # -------------------------------------------------------------------------- steps

    def _train(self, *batch: Any) -> tuple[nets.Tensor, ...]:
        self.optimizer.zero_grad()
        outputs = self.model(*batch[:-1])
        loss = self.criterion(outputs, batch[-1])
        loss.backward()
        self.optimizer.step()
        return (loss, *self._measured(outputs, batch[-1]))

    def _evaluate(self, *batch: Any) -> tuple[nets.Tensor, ...]:
        with nets.no_grad():
            outputs = self.model(*batch[:-1])
            loss = self.criterion(outputs, batch[-1])
            return (loss, *self._measured(outputs, batch[-1]))

    def _measured(self, outputs: nets.Tensor, targets: Any) -> list[nets.Tensor]:
        with nets.no_grad():
            wanted = nets.as_tensor(targets)
            return [measure(outputs, wanted) for measure in self.metrics.values()]

    def _count(self, sums: Means, size: int, found: Sequence[nets.Tensor]) -> int:
        """Add what was found for a batch to sums over samples; the size of the batch."""
        for name, value in zip(("loss", *self.metrics), found, strict=True):
            sums[name] = sums.get(name, 0.0) + float(value) * size
        return size

    # --------------------------------------------------------------------------- loops

    def run(
        self,
        epochs: int,
        train_iterator: Iterable[Any],
        eval_iterator: Iterable[Any] | None = None,
        verbose: bool = True,
        patience: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
    ) -> dict[str, list[float]]:
        """Train until ``epochs`` epochs are over in all; the history.

        ``patience``: stop when the loss (of the evaluation, where there is one) has not become
        lower for so many epochs. ``checkpoint``: a file to save everything in after each epoch
        and, with ``checkpoint_every``, after so many batches; one that is already there is
        resumed from. Resuming in the middle of an epoch needs a DataLoader.
        """
        if checkpoint is not None and _is_there(checkpoint) and not self.epoch:
            self.resume(checkpoint, train_iterator, eval_iterator)
        while self.epoch < epochs and not self._is_over(patience):
            iterators = train_iterator, eval_iterator
            means = self._epoch(iterators, epochs, verbose, checkpoint, checkpoint_every)
            if eval_iterator is not None:
                evaluated = self.evaluate(eval_iterator)
                means |= {f"eval_{name}": value for name, value in evaluated.items()}
            self._finish(means)
            if verbose and nets.distributed.rank() == 0:
                print(self._described(epochs, means))
            if checkpoint is not None:
                self.save(checkpoint, *iterators)
        return self.history

    def train(self, iterator: Iterable[Any], verbose: bool = False) -> Means:
        """Train one epoch; the means over its samples."""
        means = self._epoch((iterator, None), self.epoch + 1, verbose, None, None)
        self._finish(means)
        return means

    def evaluate(self, iterator: Iterable[Any]) -> Means:
        """Loss and metrics over all samples, with the model in evaluation mode."""
        sums: Means = {}
        samples = 0
        was_training = self.model.training
        self.model.eval()
        try:
            for batch in iterator:
                found, size = self._evaluate_step(_checked(batch), iterator)
                samples += self._count(sums, size, found)
        finally:
            self.model.train(was_training)
        return {name: total / samples for name, total in sums.items()}

    def predict(self, *inputs: Any) -> nets.Tensor:
        """What the model makes of inputs, in evaluation mode and without gradients."""
        was_training = self.model.training
        self.model.eval()
        try:
            with nets.no_grad():
                result: nets.Tensor = self.model(*inputs)
                return result
        finally:
            self.model.train(was_training)

    def _epoch(
        self,
        iterators: tuple[Iterable[Any], Iterable[Any] | None],
        epochs: int,
        verbose: bool,
        checkpoint: str | os.PathLike[str] | None,
        every: int | None,
    ) -> Means:
        self.model.train()
        title = f"epoch {self.epoch + 1}/{epochs}"
        rest = () if self._has_seen_all(iterators[0]) else _with_bar(iterators[0], title, verbose)
        for number, batch in enumerate(rest, start=1):
            found, size = self._train_step(_checked(batch), iterators[0])
            self._samples += self._count(self._sums, size, found)
            if self.scheduler is not None and self.schedule == "batch":
                self.scheduler.step()
            if checkpoint is not None and every and number % every == 0:
                self.save(checkpoint, *iterators)
        if not self._samples:
            raise nets.errors.ArgumentError("there is no data to train on", nets.user_location())
        means = {name: total / self._samples for name, total in self._sums.items()}
        self._sums, self._samples = {}, 0
        return means

    def _has_seen_all(self, iterator: Iterable[Any]) -> bool:
        """Was the run interrupted after the last batch of an epoch, which is not booked yet?"""
        if not isinstance(iterator, nets.data.DataLoader):
            return False
        return self._samples > 0 and iterator.position == len(iterator)

    def _finish(self, means: Means) -> None:
        """Book an epoch: history, best model, schedule."""
        self.epoch += 1
        for name, value in (means | {"lr": self.optimizer.lr}).items():
            self.history.setdefault(name, []).append(value)
        loss = means.get("eval_loss", means["loss"])
        if loss < self._best_value:
            self._best_value, self._since_best = loss, 0
            self.best = self.model.state_dict()
        else:
            self._since_best += 1
        if self.scheduler is not None and self.schedule == "epoch":
            plateau = isinstance(self.scheduler, nets.optim.ReduceLROnPlateau)
            self.scheduler.step(*([loss] if plateau else []))

    def _is_over(self, patience: int | None) -> bool:
        return patience is not None and self._since_best >= patience

    def _described(self, epochs: int, means: Means) -> str:
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        return f"epoch {self.epoch}/{epochs}  {numbers}"

    # --------------------------------------------------------------------- checkpoints

    def save(
        self,
        path: str | os.PathLike[str],
        iterator: Iterable[Any] | None = None,
        eval_iterator: Iterable[Any] | None = None,
    ) -> None:
        """Write everything the run depends on to a .npz or .safetensors file, completely or not
        at all. ``iterator``, ``eval_iterator``: DataLoaders whose places in the data are saved,
        too. Of several ranks the first one writes."""
        if nets.distributed.rank():
            return
        with nets.distributed.patience(_LONGEST):
            self._write(path, iterator, eval_iterator)

    def _write(
        self,
        path: str | os.PathLike[str],
        iterator: Iterable[Any] | None,
        eval_iterator: Iterable[Any] | None,
    ) -> None:
        nets.data.save(
            path,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
                "generator": nets.random.default_generator.state_dict(),
                "loaders": [
                    loader.state_dict() if isinstance(loader, nets.data.DataLoader) else None
                    for loader in (iterator, eval_iterator)
                ],
                "history": self.history,
                "progress": {name: getattr(self, name) for name in _PROGRESS},
            },
        )

    def resume(
        self,
        path: str | os.PathLike[str],
        iterator: Iterable[Any] | None = None,
        eval_iterator: Iterable[Any] | None = None,
    ) -> None:
        """Go on where ``save`` was called.

        LoadError for a damaged file, ArgumentError or ShapeError for one of another model,
        optimiser or schedule; nothing has been changed then.
        """
        state = nets.data.load(path)
        if "progress" not in state:
            raise nets.errors.LoadError(f"{path} is no checkpoint", nets.user_location())
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self._resume_schedule(state["scheduler"])
        except nets.errors.NetsError:
            self.model.load_state_dict(model)
            self.optimizer.load_state_dict(optimizer)
            raise
        nets.random.default_generator.load_state_dict(state["generator"])
        if isinstance(iterator, nets.data.DataLoader) and state["loaders"][0] is not None:
            iterator.load_state_dict(state["loaders"][0])
        if isinstance(eval_iterator, nets.data.DataLoader) and state["loaders"][1] is not None:
            eval_iterator.epoch = state["loaders"][1]["epoch"]  # an evaluation begins anew
        self.history = state["history"]
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])

    def _resume_schedule(self, state: Mapping[str, Any] | None) -> None:
        """ArgumentError where there is a schedule on one side only, or of another kind."""
        own = None if self.scheduler is None else self.scheduler.state_dict()
        if (own is None) != (state is None) or (own and state and own.keys() != state.keys()):
            raise nets.errors.ArgumentError(
                "the checkpoint is of a run with another schedule", nets.user_location()
            )
        if self.scheduler is not None and state is not None:
            self.scheduler.load_state_dict(state)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """The history as a matplotlib figure: losses, and beside them the metrics.

        ``path``: a file to write it to. LoadError where matplotlib is not installed.
        """
        try:
            figures = import_module("matplotlib.figure")
        except ImportError:
            raise nets.errors.LoadError(
                'plotting needs matplotlib: pip install "nets-compiler[plot]"', nets.user_location()
            ) from None
        figure = figures.Figure(figsize=(4.5 * (1 + len(self.metrics)), 3.5), layout="tight")
        panels = figure.subplots(1, 1 + len(self.metrics), squeeze=False)[0]
        for panel, name in zip(panels, ("loss", *self.metrics), strict=True):
            for key, label in ((name, "training"), (f"eval_{name}", "evaluation")):
                if key in self.history:
                    numbers = self.history[key]
                    panel.plot(range(1, len(numbers) + 1), numbers, label=label)
            panel.set(xlabel="epoch", ylabel=name)
            panel.legend()
        if path is not None:
            figure.savefig(path)
        return figure


_LONGEST = 600.0
"""Seconds that other ranks wait for one that writes a checkpoint."""

_PROGRESS = ("epoch", "best", "_best_value", "_since_best", "_sums", "_samples")


def _metrics(metrics: Mapping[str, Metric] | Sequence[str]) -> dict[str, Metric]:
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if any(name != "accuracy" for name in names):
        raise nets.errors.ArgumentError(
            f"metrics are 'accuracy' or functions by name, not {names}", nets.user_location()
        )
    return {"accuracy": accuracy} if names else {}


def _checked(batch: Any) -> Sequence[Any]:
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise nets.errors.ArgumentError(
            f"a batch is a tuple of inputs and, last, the target, not a {type(batch).__name__}",
            nets.user_location(),
        )
    return batch


class _Step:
    """A step of a Solver: compiled, and cut into shards where there are several."""

    def __init__(self, function: Callable[..., Any], trace: bool, shards: int) -> None:
        self.shards = shards
        self.whole = nets.trace(function) if trace else function
        if shards > 1:
            cut = nets.distributed.parallel
            self.of_all = cut(function, shards=shards, in_axes=0)
            self.of_own = cut(function, shards=shards, in_axes=0, rows="own")

    def __call__(self, batch: Sequence[Any], source: object) -> tuple[Any, int]:
        """The result for a batch that comes from there, and the size of the batch."""
        size = len(batch[-1])
        if isinstance(source, nets.data.DataLoader) and source.shards > 1:
            if source.shards != self.shards:
                raise nets.errors.ArgumentError(
                    f"the loader deals out {source.shards} shards and the Solver has {self.shards}",
                    nets.user_location(),
                )
            return self.of_own(*batch), size * nets.distributed.size()
        is_cut = self.shards > 1 and size % self.shards == 0
        return (self.of_all if is_cut else self.whole)(*batch), size


def _is_there(path: str | os.PathLike[str]) -> bool:
    """Whether the first rank finds a file."""
    found = nets.distributed.broadcast(nets.Tensor(os.path.exists(path)))
    return bool(found)


def _with_bar(iterator: Iterable[Any], title: str, verbose: bool) -> Iterator[Any]:
    """The batches, with tqdm's progress bar where it is wanted and installed; of several ranks the
    first one shows it."""
    try:
        bar = import_module("tqdm").tqdm if verbose and nets.distributed.rank() == 0 else None
    except ImportError:  # the line after each epoch is enough then
        bar = None
    if bar is None:
        return iter(iterator)
    found: Iterator[Any] = iter(bar(iterator, desc=title, leave=False, unit="batch"))
    return found
