"""Modules as functions of their parameters: what derivatives of single examples are taken of."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import nets
from nets.nn.module import Module, joined

_one_at_a_time: Final = threading.RLock()


def functional_call(
    module: Module,
    parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """What ``module(*args, **kwargs)`` gives with other parameters, as in ``torch.func``.

    ``parameters`` maps paths, such as ``0.weight``, to tensors or arrays of the shapes of those
    they stand for; several mappings count as one. What they do not name is that of the module.
    ``args`` is a tuple, or the only argument. With ``tie_weights`` a tensor that the module holds
    in several places is replaced in all of them; ``strict`` asks for every path, and no buffer
    but those of the module.

    So derivatives by parameters are those of a function:
    ``nets.vmap(nets.grad(loss), in_axes=(None, 0, 0))(dict(module.named_parameters()), x, y)`` are
    the gradients of single examples. The module has its own parameters again when the call ends;
    what it stores in its attributes meanwhile stays there. No other thread may call it meanwhile.

    ArgumentError where there is no such path, one is given twice, or, with ``strict``, one is
    missing; ShapeError where a shape differs.
    """
    given = _merged(parameters)
    places = _places(module)
    _check(given, places, strict)
    replaced = {path: _fitting(value, places[path][0], path) for path, value in given.items()}
    by_tensor = {id(places[path][0]): value for path, value in replaced.items()}
    if args is None:
        args = ()
    positional = args if isinstance(args, tuple) else (args,)
    with _one_at_a_time:
        swaps = [
            (owner, name, old, value)
            for path, (old, owner, name) in places.items()
            if (value := _in_place(path, old, replaced, by_tensor, tie_weights)) is not None
        ]
        try:
            for owner, name, _, value in swaps:
                vars(owner)[name] = value
            return module(*positional, **(kwargs or {}))
        finally:
            for owner, name, old, value in swaps:
                if vars(owner).get(name) is value:
                    vars(owner)[name] = old


_Place = tuple[nets.Tensor, Module, str]
"""A parameter or buffer, the module that holds it, and under what name."""


def _merged(parameters: Any) -> dict[str, Any]:
    several: Iterable[Any] = [parameters] if isinstance(parameters, Mapping) else parameters
    found: dict[str, Any] = {}
    for mapping in several:
        if not isinstance(mapping, Mapping):
            raise nets.errors.ArgumentError(
                "functional_call takes a mapping of paths to tensors, or a sequence of such, not "
                f"{type(mapping).__name__}",
                nets.user_location(),
            )
        for path in found.keys() & mapping.keys():
            raise nets.errors.ArgumentError(
                f"functional_call got two values for {path!r}", nets.user_location()
            )
        found.update(mapping)
    return found


def _places(module: Module) -> dict[str, _Place]:
    """Each parameter and buffer by its paths, of which a shared one has several."""
    found: dict[str, _Place] = {}
    for path, owner in module._paths(""):
        for name, value in vars(owner).items():
            if isinstance(value, nets.nn.Parameter) or name in owner._buffers:
                found[joined(path, name)] = (value, owner, name)
    return found


def _check(given: Mapping[str, Any], places: Mapping[str, _Place], strict: bool) -> None:
    missing = places.keys() - given.keys() if strict else set()
    for path in sorted(given.keys() - places.keys()):
        known = ", ".join(places) or "none"
        raise nets.errors.ArgumentError(
            f"the module has no parameter or buffer {path!r}; it has {known}", nets.user_location()
        )
    if missing:
        raise nets.errors.ArgumentError(
            f"functional_call with strict=True needs {min(missing)!r} as well", nets.user_location()
        )


def _fitting(value: Any, old: nets.Tensor, path: str) -> nets.Tensor:
    tensor = value if isinstance(value, nets.Tensor) else nets.Tensor(value)
    if tensor.shape != old.shape:
        raise nets.errors.ShapeError(
            f"{path} of the module has shape {old.shape}, not {tensor.shape}", nets.user_location()
        )
    return tensor


def _in_place(
    path: str,
    old: nets.Tensor,
    replaced: Mapping[str, nets.Tensor],
    by_tensor: Mapping[int, nets.Tensor],
    tie_weights: bool,
) -> nets.Tensor | None:
    """What stands in a place during the call, where that is another tensor."""
    return replaced.get(path, by_tensor.get(id(old)) if tie_weights else None)
