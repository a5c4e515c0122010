"""Modules that hold other modules in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self, overload

import nets
from nets.nn.module import Module


class _Ordered(Module):
    """Children under the names 0, 1, 2, …, or names of their own."""

    _count = 0

    def _add(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise nets.errors.ArgumentError(
                f"{type(self).__name__} holds modules, not {module!r}", nets.user_location()
            )
        setattr(self, name, module)
        self._count = len(self)

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        number = len(self)
        while str(number) in vars(self):  # the numbers of a slice do not begin at 0
            number += 1
        self._add(str(number), module)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        named = list(self.named_children())
        if not isinstance(index, slice):
            return named[index][1]
        part = type(self)()
        for name, module in named[index]:
            part._add(name, module)
        return part


class Sequential(_Ordered):
    """Modules applied one after the other; given one by one, or in a dict by name."""

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        super().__init__()
        for i, part in enumerate(modules):
            named = part if isinstance(part, dict) else {str(i): part}
            for name, module in named.items():
                self._add(name, module)

    def forward(self, x: Any) -> Any:
        result = x
        for module in self:
            result = module(result)
        is_same = result is x and isinstance(x, nets.Tensor)
        return nets.positive(x) if is_same else result


class ModuleList(_Ordered):
    """A list of modules, to be called by the module that holds it."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        for i, module in enumerate(modules):
            self._add(str(i), module)
