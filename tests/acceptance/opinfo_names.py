"""What nets calls the entries of PyTorch's operator list, for ``tests.acceptance.opinfo``.

An entry goes, in this order, to what ``OWN`` says; to ``nets.nn.functional``, ``nets.linalg`` and
``nets.special`` for the names below these; to a method of tensors; to a function of ``nets``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import nets


class Beyond(Exception):
    """What nets has not: a name, a dtype, a layout."""


def full_name(op: Any) -> str:
    """The name of an entry, with that of its variant after a dot."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def function_of(name: str) -> Callable[..., Any]:
    """What computes the entry; Beyond where nets has it not."""
    if name in OWN:
        return OWN[name]
    base = VARIANTS.get(name, name)
    for prefix in ("nn.functional", "linalg", "special"):
        if base.startswith(prefix + "."):
            return _found(prefix, base.removeprefix(prefix + "."))
    for variant in (base, base.rpartition(".")[0]):
        if variant and "." not in variant:
            return _named(variant)
    raise Beyond(f"no {name}")


def _found(path: str, name: str) -> Callable[..., Any]:
    room: Any = nets
    try:
        for word in path.split("."):
            room = getattr(room, word)
        for word in (name, name.partition(".")[0]):
            if word in getattr(room, "__all__", dir(room)):
                return getattr(room, word)  # type: ignore[no-any-return]
    except (AttributeError, nets.errors.NetsError):
        pass
    raise Beyond(f"no {path}.{name}")


def _named(name: str) -> Callable[..., Any]:
    positions = POSITIONS.get(name)

    def call(x: Any, *arguments: Any, **options: Any) -> Any:
        if positions is not None:
            options |= dict(zip(positions, arguments, strict=False))
            arguments = arguments[len(positions) :]
        if isinstance(x, nets.Tensor) and hasattr(nets.Tensor, name):
            return getattr(x, name)(*arguments, **options)
        if not hasattr(nets, name):
            raise Beyond(f"no {name}")
        return getattr(nets, name)(x, *arguments, **options)

    if not hasattr(nets, name) and not hasattr(nets.Tensor, name):
        raise Beyond(f"no {name}")
    return call


POSITIONS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("max", "min", "median", "nanmedian"), ("dim", "keepdim")),
    **dict.fromkeys(("std", "var"), ("dim",)),
    "squeeze": ("dim",),
}
"""Arguments that PyTorch takes by position where nets takes NumPy's."""

VARIANTS: Final[dict[str, str]] = {}
"""Entries that go by the name of another one."""

OWN: Final[dict[str, Callable[..., Any]]] = {}
"""Entries whose samples say something else than nets does."""

RANDOM: Final = frozenset[str]()
"""Entries that draw numbers: shapes and dtypes are compared."""

LOOSE: Final[dict[str, tuple[float, float]]] = {}
"""Entries that are compared within other bounds than 1e-7 relative and 1e-9 absolute."""
