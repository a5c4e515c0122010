"""Tests of chains that must not be walked or freed by recursion."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps

LONG = 6000
"""Links of a chain: more than Python calls may be nested, and than frames of C fit this stack."""
_STACK = 512 * 1024


def on_a_small_stack(test: Callable[[], None]) -> Callable[[], None]:
    """The test, in a thread whose stack is too small for a frame per link."""

    @wraps(test)
    def run() -> None:
        before = threading.stack_size(_STACK)
        try:
            with ThreadPoolExecutor(1) as alone:
                alone.submit(test).result()
        finally:
            threading.stack_size(before)

    return run
