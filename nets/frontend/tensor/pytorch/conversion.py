"""PyTorch's words for dtypes, and for new tensors like one that is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nets.errors import UnsupportedObjectError
from nets.frontend.tensor import functions as F
from nets.frontend.tensor.conversion import dtype_of
from nets.frontend.tensor.other_names import OtherNames
from nets.frontend.tensor.pytorch.shapes import same, sizes_of
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor

_NO_DIFFERENCE: Final = frozenset({"non_blocking", "copy", "memory_format", "device", "dtype"})


def on_the_cpu(device: object) -> None:
    """UnsupportedObjectError for a device that is not this CPU."""
    if device is not None and not str(device).startswith("cpu"):
        raise UnsupportedObjectError(
            f"nets runs on the CPU, where every tensor is: there is no device {device}",
            user_location(),
        )


def to(x: TensorLike, *target: Any, **options: Any) -> Tensor:
    """x in a dtype, or in that of another tensor; on the CPU, where it is.

    The dtype goes by its name; a device is taken and must be the CPU. Where there is nothing to do
    the result is all of x, shared with it, unless ``copy`` is true.
    """
    unknown = options.keys() - _NO_DIFFERENCE
    if unknown:
        raise TypeError(f"to() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    tensor = F.as_tensor(x)
    wanted, device, copies = options.get("dtype"), options.get("device"), options.get("copy", False)
    flags = [one for one in target if isinstance(one, bool)]
    for one in target:
        if isinstance(one, OtherNames):
            wanted = one.dtype  # type: ignore[attr-defined]  # of every tensor
        elif _is_device(one):
            device = one
        elif one is not None and not isinstance(one, bool):
            wanted = one
    copies = copies or (len(flags) > 1 and flags[1])
    on_the_cpu(device)
    dtype = tensor.dtype if wanted is None else dtype_of(wanted).numpy
    if dtype == tensor.dtype:
        return F.positive(tensor) if copies else same(tensor)
    return F.astype(tensor, dtype)


def _is_device(x: object) -> bool:
    """Is it a device, rather than a dtype?"""
    if isinstance(x, str):
        return x.partition(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta", "xla", "hpu")
    return hasattr(x, "type") and hasattr(x, "index") and not isinstance(x, type)


def type_as(x: TensorLike, other: TensorLike) -> Tensor:
    """x in the dtype of another tensor."""
    return to(x, F.as_tensor(other).dtype)


def cpu(x: TensorLike, memory_format: object = None) -> Tensor:
    """All of x, shared with it: every tensor is on the CPU."""
    return same(x)


_Cast = Callable[..., "Tensor"]


def _cast(word: str, name: str) -> Callable[..., Tensor]:
    def cast(x: TensorLike, memory_format: object = None) -> Tensor:
        return to(x, name)

    cast.__name__ = cast.__qualname__ = word
    cast.__doc__ = f'The elements as {name}: ``to("{name}")``.'
    return cast


double: _Cast = _cast("double", "float64")
float: _Cast = _cast("float", "float32")
long: _Cast = _cast("long", "int64")
int: _Cast = _cast("int", "int32")
short: _Cast = _cast("short", "int16")
char: _Cast = _cast("char", "int8")
byte: _Cast = _cast("byte", "uint8")
bool_: _Cast = _cast("bool", "bool")


def is_floating_point(x: TensorLike) -> Any:
    """Whether the dtype is a floating-point one."""
    return F.as_tensor(x).dtype.kind == "f"


def is_complex(x: TensorLike) -> Any:
    """Whether the dtype is a complex one."""
    return F.as_tensor(x).dtype.kind == "c"


def is_signed(x: TensorLike) -> Any:
    """Whether the dtype has negative numbers."""
    return F.as_tensor(x).dtype.kind in "ifc"


def element_size(x: TensorLike) -> Any:
    """How many bytes an element takes."""
    return F.as_tensor(x).dtype.itemsize


# ------------------------------------------------------------------------- new tensors


def _options(x: TensorLike, dtype: Any, device: Any, options: dict[str, Any]) -> Any:
    """The dtype of a new tensor; UnsupportedObjectError for other places than the CPU.

    ``layout`` and ``pin_memory`` make no difference."""
    unknown = options.keys() - {"layout", "pin_memory"}
    if unknown:
        raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}")
    on_the_cpu(device)
    return F.as_tensor(x).dtype if dtype is None else dtype


def _requiring(x: Tensor, requires_grad: Any) -> Tensor:
    if requires_grad:
        x.requires_grad = True
    return x


def new_zeros(
    x: TensorLike,
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: Any = False,
    **options: Any,
) -> Tensor:
    """Zeros of a shape, in the dtype of x or another."""
    own = _options(x, dtype, device, options)
    return _requiring(F.zeros(sizes_of(size), own), requires_grad)


def new_ones(
    x: TensorLike,
    *size: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: Any = False,
    **options: Any,
) -> Tensor:
    """Ones of a shape, in the dtype of x or another."""
    own = _options(x, dtype, device, options)
    return _requiring(F.ones(sizes_of(size), own), requires_grad)


def new_full(
    x: TensorLike,
    size: Any,
    fill_value: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: Any = False,
    **options: Any,
) -> Tensor:
    """One number in every place of a shape, in the dtype of x or another."""
    own = _options(x, dtype, device, options)
    return _requiring(F.full(size, fill_value, own), requires_grad)


def new_tensor(
    x: TensorLike, data: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False
) -> Tensor:
    """A tensor of data, copied, in the dtype that they have or another."""
    on_the_cpu(device)
    made = F.positive(F.as_tensor(np.asarray(data) if isinstance(data, (list, tuple)) else data))
    with_dtype = made if dtype is None else F.astype(made, dtype)
    return _requiring(F.stop_gradient(with_dtype), requires_grad)


def requires_grad_(x: Tensor, requires_grad: Any = True) -> Tensor:
    """Let backward passes leave a gradient in x, or not; gives x itself."""
    x.requires_grad = requires_grad
    return x


def retain_grad(x: Tensor) -> None:
    """Nothing: every tensor on the way keeps its gradient."""
