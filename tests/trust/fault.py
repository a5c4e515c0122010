"""What one planted fault is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """``right``, which stands once in ``file``, becomes ``wrong``; ``tests`` are likely to see."""

    kind: str
    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]
