"""Orders: how many derivatives are being taken around what is traced.

The rule of a function with a derivative of its own may call that function, whose rule may again. So
rules are traced as deep as somebody asks: once for each derivative that is being taken, and once
more for a gradient of the whole that may be taken later.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FORWARD: Final = 2
"""What forward mode asks of rules: a pull-back is used, and transposed, which is a derivative of
it."""

REVERSE: Final = 1


class _Orders(threading.local):
    """Of this thread."""

    def __init__(self) -> None:
        self.wanted = 1


_orders = _Orders()


def wanted() -> int:
    """Derivatives that what is traced now must have."""
    return _orders.wanted


@contextmanager
def changed(by: int) -> Iterator[None]:
    """What is traced inside must have so many more."""
    _orders.wanted += by
    try:
        yield
    finally:
        _orders.wanted -= by
