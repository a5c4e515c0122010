"""Machines that the tables of nets do not have, to try widths and numbers of registers on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nets.machine.machine import Machine
from nets.machine.table import V3, V4

NEON: Final = replace(V3, family="NEON", vector_bytes=16, vector_registers=32)
"""Short vectors, many registers; what is made for it is compiled for the CPU of the tests."""


def of_width(vector_bytes: int) -> Machine:
    """A machine with vectors of so many bytes; of 0 bytes, none."""
    return replace(V4 if vector_bytes == V4.vector_bytes else V3, vector_bytes=vector_bytes)
