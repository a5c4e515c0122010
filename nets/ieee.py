"""IEEE mode: round to nearest, subnormals kept, whatever mode the thread is in.

Other libraries change the mode of the threads that load them (``-ffast-math`` does), and NumPy
computes in the mode it finds. Compiled code sets its own (``runtime/call.c``); what Python computes
for nets is done in these functions. Without the extension ``nets._dispatch`` the mode stays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@cache
def ieee_calls() -> tuple[Callable[[], int], Callable[[int], None]]:
    """What sets the mode and gives the one before, and what gives a mode back."""
    # The extension is loaded when something is computed: `import nets` computes nothing.
    try:
        from nets._dispatch import ieee_enter, ieee_leave
    except ImportError:
        return (lambda: 0), (lambda mode: None)
    return ieee_enter, ieee_leave


def in_ieee_mode(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computing in IEEE mode."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        enter, leave = ieee_calls()
        mode = enter()
        try:
            return function(*args, **kwargs)
        finally:
            leave(mode)

    return run
