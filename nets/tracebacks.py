"""Tracebacks show the user's frames; NETS_TRACEBACK=full shows those of nets, too.

Frames are taken out where an error is about to be seen or leaves the user's Python again, so a call
that goes well pays nothing:

* Calls of traced and transformed functions run the user's Python in the middle of nets, dozens of
  frames deep. The door they go through is written in C (``runtime/python/dispatch.c``) and calls
  ``hide`` when one fails, so that logs, test runners and whoever catches the error see it short.
* A few frames are left of what eager functions raise. They are hidden where Python shows errors:
  ``sys.excepthook`` and ``threading.excepthook`` for scripts, ``python -c`` and the prompt, and
  IPython's ``_render_traceback_`` (see ``NetsError``) for its shell and for notebooks.

A wrapper around each public function, as JAX has, would cost every call a frame, and that frame
would itself stay in every traceback.
"""

from __future__ import annotations

import os
import sys
import threading
from itertools import pairwise
from types import TracebackType
from typing import Any, Final

import numpy as np

from nets import config
from nets.errors import ConfigError, NetsError


def _folder(file: str) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(file)), "")


LIBRARIES: Final = (_folder(__file__), _folder(np.__file__))
"""Folders of nets and NumPy; frames of code in them are not the user's."""

INSTALLED: Final = (_folder(os.__file__), _folder(LIBRARIES[1].rstrip(os.sep)))
"""Folders of Python and of what is installed. Code there is nobody's own, but it may be called by
the user, as well as by nets."""


def hide(error: BaseException | None) -> None:
    """Take the frames of nets out of the tracebacks of an error and of those it comes from.

    Of errors that nets raised on purpose, or that the user's own code raised below nets. What goes
    wrong inside nets keeps all its frames.
    """
    if not _is_wanted():
        return
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, NetsError) or _raised_by_user(error.__traceback__):
            error.__traceback__ = _without_own(error.__traceback__)
        error = error.__cause__ or error.__context__


def _is_wanted() -> bool:
    try:
        return bool(config.TRACEBACK.get() != "full")
    except ConfigError:  # while an error is shown is no time for another
        return False


def _file(entry: TracebackType) -> str:
    return entry.tb_frame.f_code.co_filename


def _raised_by_user(first: TracebackType | None) -> bool:
    if first is None:
        return False
    last = first
    while last.tb_next is not None:
        last = last.tb_next
    return not _file(last).startswith((*LIBRARIES, *INSTALLED))


def _without_own(entry: TracebackType | None) -> TracebackType | None:
    """The same entries, relinked, but those of nets and of what it goes through (contextlib)."""
    kept: list[TracebackType] = []
    is_hidden = False
    while entry is not None:
        file = _file(entry)
        is_hidden = file.startswith(LIBRARIES) or (is_hidden and file.startswith(INSTALLED))
        if not is_hidden:
            kept.append(entry)
        entry = entry.tb_next
    if not kept:
        return None
    for one, following in pairwise(kept):
        one.tb_next = following
    kept[-1].tb_next = None
    return kept[0]


# ------------------------------------------------------------------------------ hooks


def ipython() -> Any:
    """The shell of IPython or of a notebook that this runs in, or None."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def rendered_by_ipython(error: NetsError) -> list[str]:
    """The lines that IPython shows of an error, in the mode and colours of the session."""
    hide(error)
    shell = ipython()
    if shell is None:
        import traceback  # which no program needs that goes well

        return traceback.format_exception(error)
    lines: list[str] = shell.InteractiveTB.structured_traceback(
        type(error), error, error.__traceback__, tb_offset=1
    )
    return lines


NetsError.rendered = rendered_by_ipython


def install() -> None:
    """Let Python hide the frames of nets in the tracebacks it prints; what was there before still
    prints them."""
    if getattr(sys.excepthook, "__module__", None) == __name__:
        return
    of_main, of_threads = sys.excepthook, threading.excepthook

    def shown(kind: type[BaseException], error: BaseException, first: object) -> Any:
        return of_main(kind, error, _hidden(error, first))

    def shown_of_thread(given: Any) -> Any:
        kept = _hidden(given.exc_value, given.exc_traceback)
        parts = (given.exc_type, given.exc_value, kept, given.thread)
        return of_threads(threading.ExceptHookArgs(parts))

    sys.excepthook, threading.excepthook = shown, shown_of_thread


def _hidden(error: BaseException | None, first: Any) -> Any:
    """The traceback to be shown; all of it where nothing would be left."""
    if error is None or error.__traceback__ is not first:
        return first
    hide(error)
    return error.__traceback__ or first
