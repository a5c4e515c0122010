"""The errors of nets: one class per cause, each able to carry the user's source line.

Every class also derives from the built-in exception a NumPy user would catch for the same
mistake (``ValueError`` for shapes, ``TypeError`` for dtypes, ``IndexError`` for indices, …).
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np


class SourceLocation(Protocol):
    """What an error needs of a location: a text that shows the user's line."""

    def describe(self) -> str: ...


@dataclass(frozen=True)
class DescribedLocation:
    """A location of another process: what it was described as there, and where that was."""

    text: str
    file: str = ""
    line: int = 0

    def describe(self) -> str:
        return self.text


class NetsError(Exception):
    """Base of every error nets raises on purpose.

    ``location`` is the user's source position, shown below the message when known; ``place`` says
    which layer of a model it happened in.
    """

    place: str = ""
    rendered: ClassVar[Callable[[NetsError], list[str]]]
    """How IPython shows an error; ``nets.tracebacks`` gives it."""

    def __init__(self, message: str, location: SourceLocation | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location

    def __str__(self) -> str:
        where = "" if self.location is None else self.location.describe()
        return "\n".join(filter(None, (self.message, self.place, where)))

    def __reduce__(self) -> tuple[Any, ...]:
        """The class, its arguments and all attributes, with the text of the location: errors cross
        processes."""
        return _unpickled, (type(self), *self.args), vars(self) | {"location": self._described()}

    def _described(self) -> SourceLocation | None:
        found = self.location
        if found is None or isinstance(found, DescribedLocation):
            return found
        file, line = getattr(found, "file", ""), getattr(found, "line", 0)
        return DescribedLocation(found.describe(), file, line)

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show in place of their own traceback."""
        return NetsError.rendered(self)


def _unpickled(kind: type[NetsError], *args: object) -> NetsError:
    """An error whose attributes follow; its class may be the user's, and take what it likes."""
    return kind.__new__(kind, *args)


class ConfigError(NetsError, ValueError):
    """A NETS_* environment variable holds a value that is not allowed."""


class ShapeError(NetsError, ValueError):
    """Operand shapes do not fit together, or a shape, axis or slice is not valid."""


class AxisError(ShapeError, IndexError):
    """An axis does not exist in a tensor of so many axes."""


class OpenSizeError(ShapeError):
    """What needs a size now was given one that only a call tells (``nets.dim``)."""


class LinAlgError(NetsError, np.linalg.LinAlgError):
    """A matrix has no such factor or solution: it is singular, or not positive definite."""


class DTypeError(NetsError, TypeError):
    """An operand has a dtype the operation does not take, or nets does not have."""


class UnsupportedObjectError(NetsError, TypeError):
    """An object cannot become a tensor: object arrays, ragged lists, foreign devices, …."""


class IndexOutOfBoundsError(NetsError, IndexError):
    """An index lies outside the axis it selects from."""


class NumberError(DTypeError, OverflowError):
    """A Python number does not fit the dtype it has to take on, or what is computed of Python
    numbers alone does not fit the 64 bits it has in a trace."""


class NegativePowerError(DTypeError, ValueError):
    """An integer to the power of a negative integer is no integer."""


class DivisionByZeroError(NetsError, ZeroDivisionError):
    """A Python number was divided by a Python number that is zero."""


class MissingNameError(NetsError, AttributeError):
    """A module or tensor has no such attribute; the message says what nets calls it."""


class MissingKeyError(NetsError, KeyError):
    """There is nothing under this key; the message says which keys there are."""


class CopyError(NetsError, ValueError):
    """What was asked for without a copy of elements (``copy=False``) needs one."""


class ReadOnlyError(NetsError, ValueError):
    """A view that shows an element in several places, as broadcast_to gives it, was written to."""


class TraceError(NetsError):
    """Base of what goes wrong while a Python function is traced."""


class ControlFlowError(TraceError, TypeError):
    """Python asked for the value of a traced tensor (if, while, int(), bool(), NumPy, …)."""


class LeakedTracerError(TraceError, RuntimeError):
    """A traced tensor was used after the trace that made it had ended."""


class MutatedArgumentError(TraceError, ValueError):
    """A traced function changed one of its arguments in place."""


class DonatedError(NetsError, RuntimeError):
    """A tensor was used after a call had taken its elements over (``donate_argnums``)."""


class ArgumentError(TraceError, TypeError):
    """The arguments of a call do not have the structure that was promised or needed."""


class GradientError(NetsError, RuntimeError):
    """A gradient was asked for where there is none, or in a way that does not determine it."""


class ForkError(NetsError, RuntimeError):
    """Something was left behind with a thread that a forked process does not have."""


class DisagreementError(NetsError, RuntimeError):
    """The ranks of a job do not do the same: other programs, sizes or transfers."""


class MissingMPIError(NetsError, ImportError):
    """Several ranks were started, and mpi4py is not there or does not see them."""


class LinkError(NetsError, ConnectionError):
    """A rank of a job cannot be reached by what watches over the job."""


class VerifyError(NetsError):
    """IR that breaks an invariant of the data model or of an operation."""


class ParseError(NetsError, ValueError):
    """IR text that is not in the language."""


class PassError(NetsError):
    """A pass failed; the message names the reproducer that was written."""


class CompileError(NetsError, RuntimeError):
    """Native code could not be made or loaded."""


class PickleError(NetsError, pickle.PicklingError):
    """Something of nets cannot be pickled as it is."""


class CheckError(NetsError):
    """NETS_CHECK found an operation whose native result differs from the reference, or that
    made a NaN."""


class ExportError(NetsError, OSError):
    """A library could not be written."""


class LoadError(NetsError, OSError):
    """A library could not be loaded: not ours, another version, truncated, another CPU."""


class BackendWarning(UserWarning):
    """There is no native code on this machine; programs run on the reference interpreter, which is
    many times slower."""


class CacheWarning(UserWarning):
    """The object cache could not be used; nets compiled without it."""


class LinkWarning(UserWarning):
    """A library for another system has no shared form, for there is nothing to link it with."""


class RetraceWarning(UserWarning):
    """A function is traced again and again, for what it depends on changes from call to call."""


class PrecisionWarning(UserWarning):
    """float64 numbers met the float32 parameters of a layer, so that its result is float64."""


REFUSALS: Final = {
    error.__name__: error
    for error in (
        ArgumentError,
        IndexOutOfBoundsError,
        NumberError,
        NegativePowerError,
        DivisionByZeroError,
        LinAlgError,
    )
}
"""What a program may refuse a value with when it runs, by name."""
