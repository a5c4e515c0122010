"""Transforms by eager backward passes: what ``grad``, ``value_and_grad`` and ``vjp`` must give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nets
from tests.property.stateful.observe import Look

Look_ = Callable[[], Any]


def plain(look: Callable[[], Any]) -> dict[str, Any]:
    """The transforms; ``look`` gives what the world holds, whose gradients they leave alone."""

    def value_and_grad(
        function: Callable[..., Any], argnums: Any = 0, has_aux: bool = False
    ) -> Callable[..., Any]:
        numbers = argnums if isinstance(argnums, tuple) else (argnums,)

        def run(*args: Any, **kwargs: Any) -> Any:
            given = [_leaf(x) if i in numbers else x for i, x in enumerate(args)]
            returned = function(*given, **kwargs)
            value = returned[0] if has_aux else returned
            found = tuple(_gradients(look, value, [given[i] for i in numbers]))
            gradients = found if isinstance(argnums, tuple) else found[0]
            return (detached(returned), gradients)

        return run

    def grad(
        function: Callable[..., Any], argnums: Any = 0, has_aux: bool = False
    ) -> Callable[..., Any]:
        both = value_and_grad(function, argnums, has_aux)

        def run(*args: Any, **kwargs: Any) -> Any:
            value, gradients = both(*args, **kwargs)
            return (gradients, value[1]) if has_aux else gradients

        return run

    def vjp(function: Callable[..., Any], *primals: Any) -> Any:
        given = [_leaf(x) for x in primals]
        returned = function(*given)

        def pull(ct: Any) -> tuple[Any, ...]:
            return tuple(_gradients(look, returned, given, ct))

        return detached(returned), pull

    return {"grad": grad, "value_and_grad": value_and_grad, "vjp": vjp}


def _leaf(x: Any) -> Any:
    made = nets.Tensor(x)
    made.requires_grad = True
    return made


def _gradients(look: Callable[[], Any], value: Any, leaves: list[Any], ct: Any = None) -> list[Any]:
    """d(value)/d(leaf), where nothing else keeps a gradient of it."""
    seen = Look()
    seen.at(look())
    others = [
        x for x in seen.objects if isinstance(x, nets.Tensor) and x.requires_grad and x.is_leaf
    ]
    before = [x.grad.numpy() for x in others]
    for leaf in leaves:
        leaf.zero_grad()
    if value.requires_grad:
        value.backward(ct)
    found = [nets.Tensor(leaf.grad) for leaf in leaves]
    for x, gradient in zip(others, before, strict=True):
        x.grad = gradient
    return found


def detached(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(detached(x) for x in value)
    return value.detach() if isinstance(value, nets.Tensor) else value
