"""Python: a package that needs NumPy alone.

A package, since of ``NAME.py`` and ``NAME.so`` in one folder Python would import the latter. The
text of ``ctypes_library.py`` does the work; here are the names and parameters of the functions.
"""

from __future__ import annotations

import keyword
import unicodedata
from pathlib import Path
from typing import Final

from nets.backend.library.callers import ctypes_library
from nets.backend.library.callers.description import Description, Function
from nets.backend.library.callers.files import Files
from nets.backend.library.callers.names import free_name, free_names

_WORDS: Final = (*keyword.kwlist, "state")


def python(library: Description, files: Files) -> dict[str, str]:
    """The files of the package, in a folder of its name."""
    folder = python_name(library)
    runtime = Path(ctypes_library.__file__).read_text(encoding="utf-8")
    return {f"{folder}/__init__.py": _module(library, files), f"{folder}/_library.py": runtime}


def python_name(library: Description) -> str:
    """What the package is called."""
    return free_name(library.name, keyword.kwlist)


def _module(library: Description, files: Files) -> str:
    functions = library.functions
    names = free_names([function.name for function in functions], _WORDS)
    holder = free_name("Library", names)
    pairs = list(zip(names, functions, strict=True))
    methods = "\n".join(_method(name, function) for name, function in pairs)
    bound = "\n".join(f"{name} = _library.{name}" for name in names)
    return f'''\
"""{library.name}: {", ".join(names)}.

Made by nets {library.nets_version}. Needs NumPy, and {files.shared} beside this folder or in it.
The functions share ``state``; each ``{holder}()`` has them with a state of its own.
"""

from ._library import Code as _Code
from ._library import Library as _Library


class {holder}(_Library):
    """The functions, with a state of their own."""

    _code = _Code({library.name!r}, {files.shared!r}, {library.sha256!r})

{methods}

_library = {holder}()
state = _library.state
{bound}
'''


def _method(name: str, function: Function) -> str:
    positional = [word for word, _ in function.positional]
    keywords = [word for word, _ in function.keywords]
    words = [*positional, *keywords]
    me = free_name("self", words)
    if all(map(_is_parameter, words)):
        parameters = ", ".join([me, *positional, *(["*", *keywords] if keywords else [])])
        call = f"{me}._call({function.name!r}, [{', '.join(words)}])"
    else:
        parameters = f"{me}, /, *args, **kwargs"
        call = f"{me}._call_bound({function.name!r}, args, kwargs)"
    return f'''\
    def {name}({parameters}):
        """{function.sentence}"""
        return {call}
'''


def _is_parameter(word: str) -> bool:
    """Can a parameter be called so, and not be another name then?"""
    is_plain = unicodedata.normalize("NFKC", word) == word and not word.startswith("__")
    return is_plain and word.isidentifier() and not keyword.iskeyword(word)
