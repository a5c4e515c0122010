"""``z[0] = x`` for a NumPy array z: how a tensor x knows of it, and how it refuses.

NumPy asks x for its number, as ``float(x)`` does, and makes "setting an array element with a
sequence" of whatever error stops it there. So the frame is asked which of the two it is at, and
the error is raised right after the assignment.
"""

from __future__ import annotations

import sys
from opcode import opmap
from types import FrameType
from typing import Final

from nets.errors import NetsError

_STORE: Final = opmap["STORE_SUBSCR"]


def storing_frame() -> FrameType | None:
    """The frame that asks a tensor for its number (four calls above), if it is executing an
    assignment to an element."""
    frame: FrameType | None = sys._getframe(4)
    if frame is None or frame.f_code.co_code[frame.f_lasti] != _STORE:
        return None
    return frame


def raise_in(frame: FrameType, error: NetsError) -> None:
    """Raise the error in a frame when the instruction it is executing is done; now, where a
    debugger traces the thread."""
    if sys.gettrace() is not None:
        raise error

    def raises(*_: object) -> None:
        sys.settrace(None)
        frame.f_trace_opcodes = False
        raise error

    frame.f_trace, frame.f_trace_opcodes = raises, True
    sys.settrace(lambda *_: None)
