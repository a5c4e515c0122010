"""Extension: are calls made by ``nets._dispatch``, the extension in C, or by the Python road?

The extension is optional, and results are the same without it. Who makes something that it calls
(a plan, a kernel, guards) asks here first, so that a process can do without it for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec

_is_aside = False


@cache
def _is_there() -> bool:
    try:
        import nets._dispatch  # noqa: F401
    except ImportError:
        return False
    return True


def in_use() -> bool:
    """Is the extension there, and not set aside?"""
    return not _is_aside and _is_there()


@contextmanager
def set_aside() -> Iterator[None]:
    """What is traced and compiled in the ``with`` block, by whatever thread, is called by the
    Python road for good, as it is where the extension is not there."""
    global _is_aside
    saved, _is_aside = _is_aside, True
    try:
        yield
    finally:
        _is_aside = saved


def is_installed(module: str) -> bool:
    """Whether a module that nets can do without could be imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
