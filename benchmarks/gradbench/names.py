"""One set of names for the evaluations, which are written once: those of NumPy and JAX.

``nets`` has them all itself. JAX has them in several modules; PyTorch has other names for some, and
Python's own loops and branches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Write = Callable[[Any], Callable[..., Any]]
"""From the names to the function that is measured."""


class JaxNames:
    """The names of JAX and of jax.numpy, jax.lax and jax.nn."""

    def __init__(self, jax: Any) -> None:
        self._modules = (jax.numpy, jax, jax.lax, jax.nn)

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in self._modules if hasattr(module, name))


class TorchNames:
    """PyTorch's names, the transforms of torch.func, and loops of Python."""

    def __init__(self, torch: Any) -> None:
        self._modules = (torch.func, torch)
        self.max, self.min = torch.amax, torch.amin

    def __getattr__(self, name: str) -> Any:
        return next(getattr(module, name) for module in self._modules if hasattr(module, name))

    def cond(self, pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        return true_fun(*operands) if pred else false_fun(*operands)

    def while_loop(self, cond: Any, body: Any, state: Any, checkpoints: int = 0) -> Any:
        while cond(state):
            state = body(state)
        return state

    def fori_loop(self, lower: int, upper: int, body: Any, state: Any) -> Any:
        for i in range(lower, upper):
            state = body(i, state)
        return state

    def scan(self, step: Any, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, None]:
        """Of steps that have no result beside the carry."""
        slices = list(zip(*xs, strict=True)) if isinstance(xs, tuple) else list(xs)
        for x in reversed(slices) if reverse else slices:
            carry, _ = step(carry, x)
        return carry, None


def everywhere(write: Write) -> Mapping[str, Any]:
    """The systems of a workload that is written once."""
    return {
        "nets": write,
        "jax": lambda jax: write(JaxNames(jax)),
        "torch": lambda torch: write(TorchNames(torch)),
    }
