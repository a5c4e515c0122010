"""trace: the decorator that turns a Python function into native code.

Inside another trace a traced function is plain Python: its operations join those of the caller.
"""

from __future__ import annotations

import copy
import functools
import types
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

from nets.compiler.compile import numerics_option, thread_option
from nets.frontend.calls.staged import Specialisations, Staged
from nets.frontend.pytree import is_container
from nets.frontend.tracing.binding import Binding, Names, Numbers
from nets.frontend.tracing.open_sizes import OpenSizes

P = ParamSpec("P")
R = TypeVar("R")


class Traced(Staged, Generic[P, R]):
    """What ``nets.trace`` makes of a function; called like the function itself."""

    __wrapped__: Callable[P, R]
    __qualname__: str

    def __init__(
        self,
        function: Callable[P, R],
        binding: Binding,
        options: dict[str, Any],
    ) -> None:
        super().__init__(binding, binding.name, options)
        # What another staged function keeps in its dictionary is its own.
        taken = () if isinstance(function, Staged) else functools.WRAPPER_UPDATES
        functools.update_wrapper(self, function, updated=taken)
        self._instances: dict[int, tuple[object, Specialisations]] = {}
        self._method_binding: Binding | None = None

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def result_of(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def eagerly(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        return self.__wrapped__(*args, **kwargs)

    # ------------------------------------------------------------------------ methods

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method of an instance.

        A container of tensors (a dataclass, a named tuple) is its first argument; any other
        object is static, with specialisations of its own, and its tensors are captured.
        """
        if instance is None:
            return self
        if is_container(type(instance)):
            return types.MethodType(self, instance)
        return TracedMethod(self, instance)

    def specialisations_of(self, instance: object) -> Specialisations:
        """The specialisations for one instance, dropped with it."""
        key = id(instance)
        found = self._instances.get(key)
        if found is None:
            owner = _reference(instance, lambda _: self._instances.pop(key, None))
            found = self._instances.setdefault(key, (owner, Specialisations()))
        return found[1]

    def binding_of(self, method: types.MethodType) -> Binding:
        """The binding of calls as a method, the same for every instance."""
        if self._method_binding is None:
            self._method_binding = self.binding.of_method(method)
        return self._method_binding

    # ------------------------------------------------------- a function in other respects

    def __reduce__(self) -> Any:
        """Pickled by name, as functions are, or with what it was made of (a bound method, say).

        PickleError for lambdas and functions inside others.
        """
        from nets.frontend.calls.pickling import reduced

        binding = self.binding
        return reduced(self, _retraced, binding.static, binding.donated, self.options, binding.dims)

    def __copy__(self) -> Traced[P, R]:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Traced[P, R]:
        """Itself, as for functions; of a bound method or an object that is called, of its copy."""
        if isinstance(self.__wrapped__, types.FunctionType):
            return self
        inner = copy.deepcopy(self.__wrapped__, memo)
        return Traced(inner, self.binding, self.options)

    def __repr__(self) -> str:
        return f"<traced function {self.__qualname__}>"


def _retraced(
    function: Callable[..., object],
    static: Collection[int | str],
    donated: Collection[int | str],
    options: dict[str, object],
    dims: OpenSizes | None = None,
) -> Traced[..., object]:
    """What an unpickled function is traced to, with the options it had."""
    binding = Binding(function, *_both(static), *_both(donated), dims=dims)
    return Traced(function, binding, options)


def _both(selected: Collection[int | str]) -> tuple[list[int], list[str]]:
    """The positions and the names of selected parameters."""
    numbers = [key for key in selected if isinstance(key, int)]
    return numbers, [key for key in selected if isinstance(key, str)]


def _reference(instance: object, on_end: Callable[[Any], object]) -> object:
    """A weak reference; the instance itself where its class has none."""
    try:
        return weakref.ref(instance, on_end)
    except TypeError:
        return instance


class TracedMethod(Staged):
    """A traced function bound to an instance, which is static."""

    __wrapped__: types.MethodType

    def __init__(self, function: Traced[..., Any], instance: Any) -> None:
        self.__wrapped__ = types.MethodType(function.__wrapped__, instance)
        binding = function.binding_of(self.__wrapped__)
        super().__init__(
            binding, function.name, function.options, function.specialisations_of(instance)
        )
        self.__name__ = function.name
        self.__self__ = instance

    def result_of(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def eagerly(self, args: Sequence[object], kwargs: dict[str, object]) -> Any:
        return self.__wrapped__(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        """The method of its instance, as Python's methods are pickled."""
        return getattr, (self.__self__, self.__wrapped__.__name__)

    def __copy__(self) -> TracedMethod:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Any:
        return getattr(copy.deepcopy(self.__self__, memo), self.__wrapped__.__name__)

    def __repr__(self) -> str:
        return f"<traced method {self.name} of {self.__self__.__class__.__name__}>"


@overload
def trace(function: Callable[P, R], /) -> Traced[P, R]: ...
@overload
def trace(
    function: None = None,
    /,
    *,
    static_argnums: Numbers = None,
    static_argnames: Names = None,
    donate_argnums: Numbers = None,
    donate_argnames: Names = None,
    threads: int | None = None,
    numerics: str | None = None,
    dims: Mapping[str, object] | None = None,
) -> Callable[[Callable[P, R]], Traced[P, R]]: ...
def trace(
    function: Callable[P, R] | None = None,
    /,
    *,
    static_argnums: Numbers = None,
    static_argnames: Names = None,
    donate_argnums: Numbers = None,
    donate_argnames: Names = None,
    threads: int | None = None,
    numerics: str | None = None,
    dims: Mapping[str, object] | None = None,
) -> Traced[P, R] | Callable[[Callable[P, R]], Traced[P, R]]:
    """Compile a function: traced once per signature of its arguments, then one native call.

    Arguments are nests (dicts, lists, tuples, dataclasses) of tensors, arrays and numbers; the
    result is the same nest with Tensor leaves, sharing memory with nothing but for tensors that the
    function holds and returns. A Python number is a 0-d argument whose value may change freely.

    The traced function behaves as the plain one, call after call. Tensors and NumPy arrays that it
    reaches are read at each call; names, containers, attributes and numbers are compared, and where
    they differ it is traced again; what it changes there, each call changes again. An exception
    leaves all tensors as they were. ``docs/tracing.md`` has the table of what happens to what.

    ``static_argnums``, ``static_argnames``: arguments the function sees as they are; each new
    (hashable) value is a new signature. ``donate_argnums``, ``donate_argnames``: arguments whose
    memory takes results of the same type; tensors there cannot be used after the call.
    ``threads``: threads one call may use, by default NETS_NUM_THREADS. ``numerics``: the profile,
    by default NETS_NUMERICS: "strict", the same bits on every CPU, with fused multiply-add in
    products and math functions; "strict-nofma", which multiplies and then adds, the same bits and
    full speed also where there is none; "fast", which is "strict" so far.

    ``dims``: which axes of arguments have sizes that each call tells, so that calls of all sizes
    run one program: ``{"x": "batch, ...", "y": {0: "batch"}, "batch": nets.dim(1, 4096)}``. See
    ``docs/sizes.md``. ParseError where it says what has no meaning; ShapeError from calls with
    other sizes.

    Where an argument is an integer tensor that requires a gradient, the call runs eagerly.

    ArgumentError for options that do not fit the function; while tracing, ControlFlowError for
    Python control flow on traced values, MutatedArgumentError for changed arguments and for Python
    objects changed in loops that stay, TraceError where it takes from random generators of NumPy or
    Python or from iterators, and the errors of the operations, at the user's line.
    """
    options = _options(threads, numerics)
    opened = None if dims is None else OpenSizes(dims)

    def decorate(function: Callable[P, R]) -> Traced[P, R]:
        binding = Binding(
            function, static_argnums, static_argnames, donate_argnums, donate_argnames, opened
        )
        return Traced(function, binding, options)

    return decorate if function is None else decorate(function)


def _options(threads: int | None, numerics: str | None) -> dict[str, object]:
    options: dict[str, object] = {}
    if numerics is not None:
        options["numerics"] = numerics_option(numerics)
    if threads is not None:
        options["threads"] = thread_option(threads)
    return options
