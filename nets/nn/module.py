"""Module: a part of a model that holds parameters, buffers and other modules.

They are ordinary attributes. A ``Parameter`` is what an optimiser changes; a buffer (made by
``register_buffer``) is other state, such as running means; attributes that are modules are
children. Names in a state dict are the paths to them, dotted, as in PyTorch.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Final, Self, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

import nets
from nets.nn.functional.arguments import TensorLike

_DOUBLE: Final = np.dtype(np.float64)
_warned: WeakValueDictionary[int, Module] = WeakValueDictionary()
"""Models about whose precision a warning was given."""

State = dict[str, npt.NDArray[Any]]
Init = TypeVar("Init", bound=Callable[..., None])


class Parameter(nets.Tensor):
    """A Tensor that a module holds and an optimiser changes; it requires a gradient."""

    __slots__ = ()

    def __init__(
        self,
        data: TensorLike,
        requires_grad: bool = True,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        super().__init__(data, requires_grad, dtype)


def also_named(**names: str) -> Callable[[Init], Init]:
    """Let ``__init__`` take keyword arguments under other names as well: other=own."""

    def decorate(init: Init) -> Init:
        def renamed(self: Any, *arguments: Any, **options: Any) -> None:
            own = {names.get(name, name): value for name, value in options.items()}
            if len(own) < len(options):
                raise nets.errors.ArgumentError(
                    f"{type(self).__name__}: an argument was given under two names",
                    nets.user_location(),
                )
            init(self, *arguments, **own)

        renamed.__wrapped__ = init  # type: ignore[attr-defined]  # what inspect.signature shows
        renamed.__doc__, renamed.__name__ = init.__doc__, init.__name__
        return renamed  # type: ignore[return-value]

    return decorate


class Module:
    """Base of every layer and model: subclasses write ``__init__`` and ``forward``.

    Calling the module calls ``forward``. ``training`` tells layers such as Dropout what they are
    used for; ``train()`` and ``eval()`` set it for the whole tree.

    ``arguments`` and ``options``, what ``__init__`` of a subclass takes by position and by name; a
    module without an ``__init__`` of its own pays them no heed.
    """

    training: bool
    _buffers: frozenset[str] = frozenset()
    _unsaved: frozenset[str] = frozenset()

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        """The mode is an attribute of each module, also of those that forget super().__init__()."""
        self = super().__new__(cls)
        self.training = True
        return self

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes."""
        raise nets.errors.ArgumentError(
            f"{type(self).__name__} has no forward method", nets.user_location()
        )

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        try:
            result = self.forward(*inputs, **options)
        except (nets.errors.ShapeError, nets.errors.DTypeError) as error:
            _say_layer(error, self)
            raise
        if any(getattr(x, "dtype", None) is _DOUBLE for x in (*inputs, *options.values())):
            _warn_of_doubles(self, result)
        return result

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what is no parameter over one: an optimiser would go on with the old one."""
        is_other = not isinstance(value, Parameter) and value is not None
        if is_other and isinstance(vars(self).get(name), Parameter):
            raise nets.errors.ArgumentError(
                f"{name} of this {type(self).__name__} is a Parameter, and this "
                f"{type(value).__name__} is none: give it new elements by {name}.data = …, or "
                f"another one by {name} = nn.Parameter(…)",
                nets.user_location(),
            )
        object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ what it holds

    def register_buffer(self, name: str, value: TensorLike | None, persistent: bool = True) -> None:
        """Hold a Tensor that is state but no parameter; ``persistent``: saved with the rest.

        An array, a list or a number becomes a Tensor; None is held as it is and is no state.
        """
        if value is None:
            setattr(self, name, None)
            return
        setattr(self, name, value if isinstance(value, nets.Tensor) else nets.Tensor(value))
        self._buffers |= {name}
        if not persistent:
            self._unsaved |= {name}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules among the attributes, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules among the attributes."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, once each, with their paths."""
        seen: set[int] = set()
        for path, module in self._paths(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it, once each."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters, once each, with their paths."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield joined(path, name), value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, once each."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, nets.Tensor]]:
        """All buffers with their paths."""
        for path, module in self.named_modules(prefix):
            for name in sorted(module._buffers, key=list(vars(module)).index):
                yield joined(path, name), getattr(module, name)

    def buffers(self) -> Iterator[nets.Tensor]:
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers())

    def _paths(self, prefix: str) -> Iterator[tuple[str, Module]]:
        """Every way from here to a module: a shared module comes several times."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child._paths(joined(prefix, name))

    # -------------------------------------------------------------------------- state

    def named_state(self) -> Iterator[tuple[str, nets.Tensor]]:
        """The tensors whose elements are in the state dict, by path; shared ones several times."""
        for path, module in self._paths(""):
            saved = module._buffers - module._unsaved
            for name, value in vars(module).items():
                if isinstance(value, Parameter):
                    yield joined(path, name), value
            for name, value in vars(module).items():
                if name in saved:
                    yield joined(path, name), value

    def state_dict(self) -> State:
        """Copies of all parameters and saved buffers as NumPy arrays, by path."""
        return {path: tensor.numpy() for path, tensor in self.named_state()}

    def load_state_dict(self, state: Mapping[str, TensorLike], strict: bool = True) -> None:
        """Take the elements of parameters and buffers from arrays under the same paths.

        ``strict``: every path must be there, and no other. ArgumentError where this does not
        hold, ShapeError where a shape differs; nothing has been changed then.
        """
        own = dict(self.named_state())
        if not isinstance(state, Mapping):
            raise nets.errors.ArgumentError(
                f"a state dict is a dict of arrays, not a {type(state).__name__}",
                nets.user_location(),
            )
        missing, unknown = own.keys() - state.keys(), state.keys() - own.keys()
        if strict and (missing or unknown):
            lacking, foreign = sorted(missing), sorted(unknown, key=str)
            raise nets.errors.ArgumentError(
                f"the state dict is not one of this {type(self).__name__}: missing "
                f"{lacking or 'nothing'}, not known {foreign or 'nothing'}",
                nets.user_location(),
            )
        with nets.no_grad():
            new = {path: np.asarray(state[path]) for path in own if path in state}
        for path, array in new.items():
            if array.shape != own[path].shape:
                raise nets.errors.ShapeError(
                    f"{path} has shape {own[path].shape}, the state dict's has {array.shape}",
                    nets.user_location(),
                )
        for path, array in new.items():
            own[path].data = array

    # ------------------------------------------------------------------------ changes

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` for this module and all below it."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """From now on the module is evaluated, not trained."""
        return self.train(False)

    def apply(self, function: Callable[[Module], object]) -> Self:
        """Call the function on all modules below this one, then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to zeros; ``set_to_none`` makes no difference."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all parameters take part in gradients, or none of them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def astype(self, dtype: npt.DTypeLike) -> Self:
        """Replace floating-point parameters and buffers by new ones of that dtype.

        Optimisers made before still hold the old ones.
        """
        made: dict[int, nets.Tensor] = {}
        for module in self.modules():
            for name, value in list(vars(module).items()):
                if not (isinstance(value, Parameter) or name in module._buffers):
                    continue
                if value.dtype.kind == "f":
                    kind = type(value)
                    new = made.setdefault(id(value), kind(value, value.requires_grad, dtype))
                    setattr(module, name, new)
        return self

    def double(self) -> Self:
        """``astype("float64")``."""
        return self.astype("float64")

    def float(self) -> Self:
        """``astype("float32")``."""
        return self.astype("float32")

    def copy(self) -> Self:
        """A module with parameters and buffers of its own."""
        return copy.deepcopy(self)

    # ----------------------------------------------------------------------- printing

    def extra_repr(self) -> str:
        """What the printed form has between the parentheses."""
        return ""

    def _unlike(self, **defaults: Any) -> str:
        """Those of these attributes that are not the default, each after a comma."""
        own = {name: getattr(self, name) for name in defaults}
        return "".join(f", {name}={x}" for name, x in own.items() if x != defaults[name])

    def _title(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __repr__(self) -> str:
        """The tree below this module, with the number of parameters of each part."""
        rows = list(_rows(self, "", "", ""))
        width = max(len(text) for text, _ in rows)
        return "\n".join(f"{text:<{width}}  {count:>9,}" if count else text for text, count in rows)


def _say_layer(error: nets.errors.NetsError, module: Module) -> None:
    """Let an error name the innermost layer it passed, by its path from the outermost one."""
    inner = error.__dict__.setdefault("layer", module)
    paths = (path for path, found in module.named_modules() if found is inner)
    path = next(paths, None)
    if path is None:  # a layer that the module made, or found elsewhere
        return
    held = [
        f"{name} {tuple(value.shape)}"
        for name, value in vars(inner).items()
        if isinstance(value, nets.Tensor)
    ]
    title = joined("model", path) if path else "the layer"
    has = f" with {', '.join(held)}" if held else ""
    error.place = f"  in {title} ({type(inner).__name__}){has}"


# ------------------------------------------------------------------------------ precision


def _warn_of_doubles(layer: Module, result: Any) -> None:
    """Say it, once for a model, where the float32 parameters of a layer met float64 numbers."""
    first = result[0] if isinstance(result, tuple) and result else result
    parameters = [x for x in vars(layer).values() if isinstance(x, Parameter)]
    is_single = any(parameter.dtype == np.float32 for parameter in parameters)
    if not is_single or getattr(first, "dtype", None) is not _DOUBLE:
        return
    model = _outermost(layer)
    if id(model) in _warned:
        return
    _warned[id(model)] = model
    path = next((path for path, module in model.named_modules() if module is layer), "")
    where = f" ({path!r} of {type(model).__name__})" if path else ""
    place = nets.user_location()
    warnings.warn_explicit(
        f"{layer._title()}{where} has float32 parameters and got float64 numbers, so that its "
        'result is float64: pass x.astype("float32"), or let the model be float64: '
        "model.double()",
        nets.errors.PrecisionWarning,
        place.file if place is not None else "nets",
        place.line if place is not None else 0,
    )


def _outermost(layer: Module) -> Module:
    """The module that was called first of those that are at work now."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is Module.__call__.__code__:
            layer = frame.f_locals["self"]
        frame = frame.f_back
    return layer


def _rows(module: Module, name: str, first: str, rest: str) -> Iterator[tuple[str, int]]:
    """(line, number of parameters) of a module and all below it; ``first`` and ``rest`` draw the
    branches before its line and before those of its children."""
    yield first + name + module._title(), sum(p.size for p in module.parameters())
    children = list(module.named_children())
    for i, (name, child) in enumerate(children):
        last = i == len(children) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _rows(child, f"{name}: ", rest + branch, rest + below)


def joined(path: str, name: str) -> str:
    """The path of what a module of that path calls so."""
    return f"{path}.{name}" if path else name
