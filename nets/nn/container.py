"""Modules that hold other modules, or parameters, in order or by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

import nets
from nets.nn.functional.arguments import Reading
from nets.nn.module import Module, Parameter


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


class ModuleDict(Module):
    """Modules by name, given in a dict or as pairs, to be called by the module that holds them."""

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Hold these modules, too, or in place of those of the same names."""
        with Reading("modules by name"):
            named = dict(modules)
        for name, module in named.items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module) or not isinstance(name, str) or hasattr(type(self), name):
            raise nets.errors.ArgumentError(
                f"ModuleDict holds modules by names that it does not use itself, not {module!r} as "
                f"{name!r}",
                nets.user_location(),
            )
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Module:
        found: Module = _held(dict(self.named_children()), name, self)
        return found

    def __delitem__(self, name: str) -> None:
        _held(dict(self.named_children()), name, self)
        delattr(self, name)

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.named_children())

    def __contains__(self, name: object) -> bool:
        return name in dict(self.named_children())

    def keys(self) -> Iterator[str]:
        """The names."""
        return iter(self)

    def values(self) -> Iterator[Module]:
        """The modules."""
        return self.children()

    def items(self) -> Iterator[tuple[str, Module]]:
        """Names and modules."""
        return self.named_children()

    def pop(self, name: str) -> Module:
        """Take out the module of that name."""
        module = self[name]
        del self[name]
        return module

    def clear(self) -> None:
        """Hold nothing."""
        for name in list(self):
            del self[name]


def _held(held: Mapping[str, Any], name: str, holder: Module) -> Any:
    if name not in held:
        raise nets.errors.MissingKeyError(
            f"{type(holder).__name__} holds {', '.join(held) or 'nothing'}, and no {name!r}",
            nets.user_location(),
        )
    return held[name]


class _Parameters(Module):
    """Parameters under names; tensors become parameters."""

    def _held(self) -> dict[str, Parameter]:
        return {name: x for name, x in vars(self).items() if isinstance(x, Parameter)}

    def _put(self, name: str, value: Any) -> None:
        setattr(self, name, value if isinstance(value, Parameter) else Parameter(value))

    def __len__(self) -> int:
        return len(self._held())


class ParameterList(_Parameters):
    """A list of parameters.

    ``values`` are parameters, tensors or arrays.
    """

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self._put(str(len(self)), value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        with Reading("a list of parameters"):
            listed = list(values)
        for value in listed:
            self.append(value)
        return self

    def __getitem__(self, index: int) -> Parameter:
        return self._held()[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._name(index), value)

    def _name(self, index: int) -> str:
        count = len(self)
        if not -count <= index < count:
            raise nets.errors.IndexOutOfBoundsError(
                f"ParameterList holds {count}: there is no number {index}", nets.user_location()
            )
        return str(index % count)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._held().values())


class ParameterDict(_Parameters):
    """Parameters by name, given in a dict or as pairs.

    ``values`` are parameters, tensors or arrays.
    """

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update(values or {})

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Hold these, too, or in place of those of the same names."""
        with Reading("parameters by name"):
            named = dict(values)
        for name, value in named.items():
            self[name] = value

    def __getitem__(self, name: str) -> Parameter:
        found: Parameter = _held(self._held(), name, self)
        return found

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or hasattr(type(self), name) or name == "training":
            raise nets.errors.ArgumentError(
                f"ParameterDict has a use of its own for the name {name!r}", nets.user_location()
            )
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        _held(self._held(), name, self)
        delattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held())

    def __contains__(self, name: object) -> bool:
        return name in self._held()

    def keys(self) -> Iterator[str]:
        """The names."""
        return iter(self)

    def values(self) -> Iterator[Parameter]:
        """The parameters."""
        return iter(self._held().values())

    def items(self) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters."""
        return iter(self._held().items())
