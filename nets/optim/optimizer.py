"""Optimizer: what all of them share, parameter groups and state.

What a step changes, and what schedules change between steps, lives in Tensors, which a traced
step reads and writes: learning rates, momenta, moments, step counts. A compiled step therefore
goes on from the same numbers as an eager one. Other hyperparameters are plain numbers, and a
traced step is traced again when one changes.

A parameter that no backward pass has reached counts as having a gradient of zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar

import numpy as np

import nets
from nets.nn.functional.arguments import Reading

Moments = dict[str, nets.Tensor]


class ParameterGroup(MutableMapping[str, Any]):
    """Parameters and the hyperparameters they share, read and set like the items of a dict.

    ``params`` are the parameters, ``options`` the hyperparameters by name; those in ``live`` are
    kept in Tensors, float64, and may change from one step of a traced function to the next.
    MissingKeyError for a name that is none of both.
    """

    def __init__(self, params: list[nets.Tensor], options: Mapping[str, Any], live: frozenset[str]):
        self.params = params
        self._tensors: dict[str, nets.Tensor] = {}
        self._names = tuple(options)
        self.initial_lr: float | None = None
        """Where the first schedule began; the others go by it, too."""
        for name, value in options.items():
            if name in live:
                self._tensors[name] = nets.Tensor(value, dtype="float64")
            else:
                setattr(self, name, value)

    def tensor(self, name: str) -> nets.Tensor:
        """The Tensor that holds a hyperparameter which may change from step to step."""
        return self._tensors[name]

    def tensors(self) -> Iterable[tuple[str, nets.Tensor]]:
        """Those hyperparameters, by name."""
        return self._tensors.items()

    def static(self, name: str) -> Any:
        """A hyperparameter that is a constant of a traced step."""
        return getattr(self, name)

    def __getitem__(self, name: str) -> Any:
        if name == "params":
            return self.params
        if name in self._tensors:
            value = self._tensors[name].tolist()
            return tuple(value) if isinstance(value, list) else value
        if name not in self._names:
            raise nets.errors.MissingKeyError(
                f"there is no hyperparameter {name!r}, only {', '.join(self)}",
                nets.user_location(),
            )
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._tensors:
            self._tensors[name].data = value
        elif name in self._names:
            setattr(self, name, value)
        else:
            raise nets.errors.ArgumentError(
                f"there is no hyperparameter {name!r}, only {', '.join(self._names)}",
                nets.user_location(),
            )

    def check(self, saved: Mapping[str, Any]) -> None:
        """ArgumentError unless these may be the values of hyperparameters here."""
        for name in (name for name in self._names if name in saved):
            value = tuple(saved[name]) if isinstance(saved[name], list) else saved[name]
            own = self[name]
            is_pair, are_pairs = (isinstance(x, tuple) for x in (own, value))
            numbers = value if are_pairs else (value,)
            is_like = all(isinstance(n, bool | int | float | np.generic) for n in numbers)
            is_like = is_like or (isinstance(value, str | None) and value == own)
            if is_pair is not are_pairs or not is_like:
                raise nets.errors.ArgumentError(
                    f"the hyperparameter {name} is like {own}, unlike {value!r}",
                    nets.user_location(),
                )
            _check_number(name, value)

    def __delitem__(self, name: str) -> None:
        raise nets.errors.ArgumentError("hyperparameters cannot be removed", nets.user_location())

    def __iter__(self) -> Iterator[str]:
        return iter(("params", *self._names))

    def __len__(self) -> int:
        return len(self._names) + 1


class Optimizer:
    """Base of the optimisers.

    ``params``: parameters, or dicts with the key ``params`` and hyperparameters of their own.
    Subclasses say which tensors each parameter needs (``_start``) and how it moves (``_update``).

    ``defaults`` are the hyperparameters, by name, of a group that has none of its own.
    ``maximize``, which nearly all have, goes up the gradient instead of down; ``lr`` is the
    learning rate, ``weight_decay`` a part of the parameter that is added to its gradient, unless
    said otherwise. ArgumentError for no parameters, for those in two groups, for hyperparameters
    there are not and for numbers that have no meaning.
    """

    _live: ClassVar[frozenset[str]] = frozenset({"lr"})
    """Hyperparameters that schedules may change."""

    def __init__(
        self, params: Iterable[nets.Tensor] | Iterable[Mapping[str, Any]], defaults: dict[str, Any]
    ) -> None:
        self.defaults = defaults
        self.param_groups: list[ParameterGroup] = []
        self._states: list[list[Moments]] = []
        with Reading("a list of parameters, such as model.parameters() is"):
            listed: list[Any] = [params] if isinstance(params, nets.Tensor) else list(params)
        if not listed:
            raise nets.errors.ArgumentError(
                "an optimiser needs at least one parameter", nets.user_location()
            )
        if not isinstance(listed[0], Mapping):
            listed = [{"params": listed}]
        for group in listed:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take more parameters, with hyperparameters that differ from the defaults."""
        own = item(group, "params", "a parameter group")
        given = {name: value for name, value in group.items() if name != "params"}
        with Reading("a list of parameters"):
            params = [own] if isinstance(own, nets.Tensor) else list(own)
        self._check(params, given)
        for name, value in {**self.defaults, **given}.items():
            _check_number(name, value)
        made = ParameterGroup(params, {**self.defaults, **given}, self._live)
        # A new list: a traced step is traced again for it.
        self.param_groups = [*self.param_groups, made]
        self._states.append([self._start(p, made) for p in params])

    def _check(self, params: list[Any], options: Mapping[str, Any]) -> None:
        unknown = options.keys() - self.defaults.keys()
        if unknown:
            raise nets.errors.ArgumentError(
                f"{type(self).__name__} has no hyperparameter {', '.join(sorted(unknown))}",
                nets.user_location(),
            )
        known = {id(p) for group in self.param_groups for p in group.params}
        for p in params:
            # A frozen parameter moves as soon as it requires a gradient.
            is_trained = isinstance(p, nets.nn.Parameter) or (
                isinstance(p, nets.Tensor) and p.requires_grad and p.is_leaf
            )
            if not is_trained or p.dtype.kind != "f":
                raise nets.errors.ArgumentError(
                    "an optimiser takes parameters, or other floating-point tensors that require a "
                    "gradient and that no recorded operation made",
                    nets.user_location(),
                )
            if id(p) in known:
                raise nets.errors.ArgumentError(
                    "a parameter appears twice in an optimiser", nets.user_location()
                )
            known.add(id(p))

    def _start(self, p: nets.Tensor, group: ParameterGroup) -> Moments:
        """The tensors that go with a parameter, before the first step."""
        raise NotImplementedError

    def _update(
        self, p: nets.Tensor, grad: nets.Tensor, state: Moments, group: ParameterGroup
    ) -> None:
        """Move a parameter, and the tensors that go with it, one step."""
        raise NotImplementedError

    # -------------------------------------------------------------------------- use

    @property
    def lr(self) -> float:
        """The learning rate of the first group; setting it sets that of all."""
        found: float = self.param_groups[0]["lr"]
        return found

    @lr.setter
    def lr(self, value: float) -> None:
        for group in self.param_groups:
            group["lr"] = value

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to zeros; ``set_to_none`` makes no difference."""
        for group in self.param_groups:
            for p in group.params:
                p.zero_grad()

    def step(self) -> None:
        """Move every parameter by its gradient."""
        groups = self.param_groups
        with nets.no_grad():
            for group, states in zip(groups, self._states, strict=True):
                for p, state in zip(group.params, states, strict=True):
                    grad = p.grad
                    if grad is not None:  # it is where requires_grad has been switched off
                        self._update(p, grad, state, group)

    # ------------------------------------------------------------------------ state

    def named_state(self) -> Iterator[tuple[str, nets.Tensor]]:
        """The tensors whose elements are in the state dict, by the way to them there, with dots:
        ``state.0.exp_avg``, ``param_groups.0.lr``."""
        flat = [state for states in self._states for state in states]
        for i, state in enumerate(flat):
            yield from ((f"state.{i}.{name}", tensor) for name, tensor in state.items())
        for i, group in enumerate(self.param_groups):
            yield from ((f"param_groups.{i}.{name}", x) for name, x in group.tensors())

    def state_dict(self) -> dict[str, Any]:
        """Hyperparameters, and the tensors of each parameter as arrays, numbered in order."""
        flat = [state for states in self._states for state in states]
        numbers = iter(range(len(flat)))
        return {
            "state": {
                i: {name: tensor.numpy() for name, tensor in state.items()}
                for i, state in enumerate(flat)
            },
            "param_groups": [
                {name: group[name] for name in group if name != "params"}
                | {"params": [next(numbers) for _ in group.params]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken: of an optimiser of the same kind and parameters.

        ArgumentError or ShapeError where it does not fit; nothing has been changed then.
        """
        what = "the state of an optimiser"
        groups, found = item(state, "param_groups", what), item(state, "state", what)
        flat = [own for states in self._states for own in states]
        with Reading(what):
            counts = [len(item(g, "params", "a parameter group")) for g in groups]
        if counts != [len(g.params) for g in self.param_groups]:
            raise nets.errors.ArgumentError(
                "the state is of an optimiser of other parameters", nets.user_location()
            )
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.check(saved)
        with Reading(what), nets.no_grad():
            new = [
                (tensor, nets.Tensor(_entry(found, i, name)))
                for i, own in enumerate(flat)
                for name, tensor in own.items()
            ]
        for tensor, array in new:
            if tensor.shape != array.shape:
                raise nets.errors.ShapeError(
                    f"the state has shape {array.shape} for a parameter of shape {tensor.shape}",
                    nets.user_location(),
                )
        for tensor, array in new:
            tensor.data = array
        for group, saved in zip(self.param_groups, groups, strict=True):
            for name in group:
                if name != "params" and name in saved:
                    value = saved[name]
                    group[name] = tuple(value) if isinstance(value, list) else value

    def __repr__(self) -> str:
        rows = [
            f"  group {i}: {len(group.params)} parameters, "
            + ", ".join(f"{name}={group[name]}" for name in group if name != "params")
            for i, group in enumerate(self.param_groups)
        ]
        return "\n".join([type(self).__name__, *rows])


def item(state: Mapping[str, Any], key: str, what: str) -> Any:
    """What stands under a key; MissingKeyError, with the keys there are, where nothing does."""
    if not isinstance(state, Mapping) or key not in state:
        keys = ", ".join(map(repr, state)) if isinstance(state, Mapping) else type(state).__name__
        raise nets.errors.MissingKeyError(
            f"{what} has the key {key!r}; this one has {keys or 'none'}", nets.user_location()
        )
    return state[key]


def _entry(found: Mapping[Any, Any], number: int, name: str) -> Any:
    """The array of a parameter's state; JSON has turned its number into text."""
    own = found.get(number, found.get(str(number), {}))
    if not isinstance(own, Mapping) or name not in own:
        raise nets.errors.ArgumentError(
            f"the state of parameter {number} has no {name!r}", nets.user_location()
        )
    return own[name]


def _check_number(name: str, value: Any) -> None:
    """Refuse negative hyperparameters: none of them may be; and betas from 1 on."""
    numbers = value if isinstance(value, tuple) else (value,)
    if name == "betas" and (len(numbers) != 2 or not all(n < 1 for n in numbers)):
        raise nets.errors.ArgumentError(
            f"betas are two numbers below 1, not {value}", nets.user_location()
        )
    for number in numbers:
        # A tensor is taken as it is.
        if isinstance(number, (int, float, np.number)) and not 0 <= number < math.inf:
            raise nets.errors.ArgumentError(
                f"{name} is finite and not negative, unlike {value}", nets.user_location()
            )


def same_dtype(scalar: nets.Tensor, like: nets.Tensor) -> nets.Tensor:
    """A hyperparameter, kept in float64, in the dtype of the tensor it multiplies."""
    return scalar if scalar.dtype == like.dtype else nets.astype(scalar, like.dtype)
