"""The one device there is, and what the array API standard has tensors say of themselves."""

from __future__ import annotations

import sys
from typing import Any, Final

from nets.errors import ArgumentError, UnsupportedObjectError
from nets.ir.location import user_location

CPU: Final = "cpu"

_VERSIONS: Final = (None, "2021.12", "2022.12", "2023.12", "2024.12")


def on_cpu(device: object) -> None:
    """ArgumentError unless a device is the one there is, or none was chosen."""
    if device is not None and not (isinstance(device, str) and device == CPU):
        raise ArgumentError(f'tensors are on the device "cpu", not on {device!r}', user_location())


class StandardArray:
    """Base of tensors: attributes and methods of the standard that NumPy's arrays share."""

    __slots__ = ()

    @property
    def device(self) -> str:
        """Where the elements are: "cpu"."""
        return CPU

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize  # type: ignore[attr-defined,no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize  # type: ignore[attr-defined,no-any-return]

    def to_device(self, device: str, /, *, stream: object = None) -> Any:
        """The tensor itself, which is on the one device there is.

        ArgumentError for another device, and for a stream, of which there are none.
        """
        on_cpu(device)
        if stream is not None:
            raise ArgumentError("the CPU has no streams", user_location())
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """``nets``, the namespace of the array API standard; ArgumentError for a version of the
        standard that it does not have."""
        if api_version not in _VERSIONS:
            raise ArgumentError(
                f"nets has the versions {', '.join(map(str, _VERSIONS[1:]))} of the array API, "
                f"not {api_version}",
                user_location(),
            )
        return sys.modules["nets"]

    def __complex__(self) -> complex:
        return complex(float(self))  # type: ignore[arg-type]

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule of the elements, which are not copied and must not be written to."""
        if stream is not None:
            raise UnsupportedObjectError("the CPU has no streams", user_location())
        data = self._variable("a DLPack capsule").data  # type: ignore[attr-defined]
        data = data if data.flags.writeable else data.copy()
        return data.__dlpack__(max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0
