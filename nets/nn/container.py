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
        self._check(module)
        setattr(self, name, module)
        self._count = len(self)

    def _check(self, module: object) -> None:
        if not isinstance(module, Module):
            raise nets.errors.ArgumentError(
                f"{type(self).__name__} holds modules, not {module!r}", nets.user_location()
            )

    def _arrange(self, parts: Iterable[tuple[str, Module]]) -> None:
        """Hold these in this order; names that are numbers count anew, others stay."""
        listed = list(parts)
        for name, _ in list(self.named_children()):
            delattr(self, name)
        for i, (name, module) in enumerate(listed):
            setattr(self, str(i) if name.isdigit() else name, module)
        self._count = len(listed)

    def _name(self, index: int) -> str:
        """The name at a position; IndexOutOfBoundsError where there is none."""
        names = [name for name, _ in self.named_children()]
        if not -len(names) <= index < len(names):
            raise nets.errors.IndexOutOfBoundsError(
                f"{type(self).__name__} holds {len(names)} modules: there is no number {index}",
                nets.user_location(),
            )
        return names[index]

    def append(self, module: Module) -> None:
        """Add a module at the end."""
        number = len(self)
        while str(number) in vars(self):  # the numbers of a slice do not begin at 0
            number += 1
        self._add(str(number), module)

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at the position; those behind it move up."""
        self._check(module)
        parts = list(self.named_children())
        parts.insert(index, ("0", module))
        self._arrange(parts)

    def pop(self, index: int = -1) -> Module:
        """Take out the module at the position."""
        module = self[index]
        del self[index]
        return module

    def __setitem__(self, index: int, module: Module) -> None:
        """Put a module in the place of another one."""
        self._check(module)
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        """Take out the module at the position, or those of a slice; those behind it move up."""
        parts = list(self.named_children())
        if not isinstance(index, slice):
            self._name(index)
        del parts[index]
        self._arrange(parts)

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
            return dict(named)[self._name(index)]
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
