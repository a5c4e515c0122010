"""Every public callable tells of every parameter, in its docstring or where that says."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import nets


def public(prefix: str, room: ModuleType, seen: set[ModuleType]) -> Iterator[tuple[str, Any]]:
    """Dotted names and what they are: functions and classes, also in the modules below."""
    seen.add(room)
    for name in getattr(room, "__all__", None) or own_names(room):
        thing = getattr(room, name)
        if isinstance(thing, ModuleType):
            if thing not in {*seen, nets.errors} and thing.__name__.startswith("nets."):
                yield from public(f"{prefix}.{name}", thing, seen)
        elif callable(thing) and not is_error(thing):
            yield f"{prefix}.{name}", thing


def own_names(room: ModuleType) -> list[str]:
    """Of a module without ``__all__``: what it defines, and what a package imports from below."""
    return [
        name
        for name, thing in vars(room).items()
        if not name.startswith("_")
        and (
            getattr(thing, "__module__", "").startswith(room.__name__)
            or (isinstance(thing, ModuleType) and thing.__name__ in SHOWN_MODULES)
        )
    ]


SHOWN_MODULES = ("nets.nn.functional", "nets.nn.init", "nets.nn.utils", "nets.optim.swa_utils")


def is_error(thing: Any) -> bool:
    return inspect.isclass(thing) and issubclass(thing, BaseException)


def told(thing: Any) -> str:
    """What is written of a callable: its docstring, those of its bases, its module's for what all
    share there, and those of what it refers to as ``those of `name```."""
    room = sys.modules[inspect.unwrap(thing).__module__]
    texts = [inspect.getdoc(thing) or "", room.__doc__ or ""]
    if inspect.isclass(thing):
        texts += [inspect.getdoc(base) or "" for base in thing.__mro__[1:-1]]
        texts.append(inspect.getdoc(thing.__init__) or "")
        texts += [commented(base) for base in thing.__mro__ if has_fields(base)]
    else:
        referred = re.findall(r"[Aa]s (?:in|of|for) ``(\w+)``|(?:see|of) ``(\w+)``", texts[0])
        names = [name for pair in referred for name in pair if callable(getattr(room, name, None))]
        texts += [inspect.getdoc(getattr(room, name)) or "" for name in names]
    return "\n".join(texts)


def has_fields(cls: type) -> bool:
    return is_dataclass(cls) or hasattr(cls, "_fields")


def commented(cls: type) -> str:
    """The fields of a class, such as a dataclass of results, that are told of below them."""
    return " ".join(re.findall(r'^    (\w+): .*\n    """', inspect.getsource(cls), re.MULTILINE))


def parameters(thing: Callable[..., Any]) -> list[str]:
    try:
        return [name for name in inspect.signature(thing).parameters if name != "self"]
    except ValueError:  # of a class of Python's own
        return []


def test_every_parameter_is_told_of() -> None:
    untold = {
        name: [word for word in parameters(thing) if not re.search(rf"\b{word}\b", text)]
        for name, thing in public("nets", nets, set())
        for text in (told(thing),)
    }
    assert {name: words for name, words in untold.items() if words} == {}
