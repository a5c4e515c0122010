"""Keys: elements as integers in whose order they are sorted.

Of floats that is the order of IEEE 754 with NaN behind all others: a NaN of either sign has the
largest key. Descending order has the complements of the keys, so that equal elements keep their
order in it, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from nets.backend.llvm.sort.text import SortText, splat
from nets.ir.types import DType


@dataclass(frozen=True, slots=True)
class Keys:
    """How elements of a dtype become keys, as scalars or (lanes > 1) vectors of ``bits``."""

    dtype: DType
    descending: bool

    @property
    def bits(self) -> int:
        return 8 * self.dtype.itemsize

    @property
    def sign(self) -> int:
        """The number whose only bit is the first, as LLVM writes it."""
        return -(1 << (self.bits - 1))

    @property
    def most(self) -> int:
        """All bits but the first."""
        return (1 << (self.bits - 1)) - 1

    @property
    def infinity(self) -> int:
        """The bits of +∞."""
        return 0x7F800000 if self.bits == 32 else 0x7FF0000000000000

    @property
    def word(self) -> str:
        """Of names of functions."""
        return f"{self.dtype}_{'descending' if self.descending else 'ascending'}"

    def type(self, lanes: int) -> str:
        return f"<{lanes} x i{self.bits}>" if lanes > 1 else f"i{self.bits}"

    def _number(self, value: int, lanes: int) -> str:
        return splat(lanes, f"i{self.bits}", value) if lanes > 1 else str(value)

    def unequal(self, body: SortText, x: str, lanes: int) -> str:
        """The key as a signed number, in which 0 and −0 still differ, −0 being the smaller one."""
        type = self.type(lanes)
        if self.dtype.kind == "u":
            x = body.value(f"xor {type} {x}, {self._number(self.sign, lanes)}")
        elif self.dtype.is_float:
            sign = body.value(f"ashr {type} {x}, {self._number(self.bits - 1, lanes)}")
            flip = body.value(f"and {type} {sign}, {self._number(self.most, lanes)}")
            key = body.value(f"xor {type} {x}, {flip}")
            x = self._unless_nan(body, x, key, lanes)
        return self._turned(body, x, lanes)

    def element(self, body: SortText, key: str, lanes: int) -> str:
        """The element of a key that ``unequal`` made; of a NaN, one."""
        type = self.type(lanes)
        key = self._turned(body, key, lanes)
        if self.dtype.kind == "u":
            return body.value(f"xor {type} {key}, {self._number(self.sign, lanes)}")
        if not self.dtype.is_float:
            return key
        sign = body.value(f"ashr {type} {key}, {self._number(self.bits - 1, lanes)}")
        flip = body.value(f"and {type} {sign}, {self._number(self.most, lanes)}")
        return body.value(f"xor {type} {key}, {flip}")

    def equal(self, body: SortText, x: str, lanes: int) -> str:
        """The key as a signed number: elements that compare equal have one key."""
        if not self.dtype.is_float:
            return self.unequal(body, x, lanes)
        type = self.type(lanes)
        sign = body.value(f"ashr {type} {x}, {self._number(self.bits - 1, lanes)}")
        size = body.value(f"and {type} {x}, {self._number(self.most, lanes)}")
        flipped = body.value(f"xor {type} {size}, {sign}")
        key = body.value(f"sub {type} {flipped}, {sign}")
        return self._turned(body, self._unless_nan(body, x, key, lanes), lanes)

    def digits(self, body: SortText, x: str) -> str:
        """The key ``equal`` of a scalar as an unsigned number."""
        key = self.equal(body, x, 1)
        return body.value(f"xor i{self.bits} {key}, {self.sign}")

    def is_nan(self, body: SortText, x: str, lanes: int) -> str:
        type = self.type(lanes)
        size = body.value(f"and {type} {x}, {self._number(self.most, lanes)}")
        return body.value(f"icmp sgt {type} {size}, {self._number(self.infinity, lanes)}")

    def is_special(self, body: SortText, x: str, lanes: int) -> str:
        """Whether it is NaN or −0, which a key does not tell from others."""
        type, bits = self.type(lanes), f"<{lanes} x i1>"
        nan = self.is_nan(body, x, lanes)
        zero = body.value(f"icmp eq {type} {x}, {self._number(self.sign, lanes)}")
        return body.value(f"or {bits} {nan}, {zero}")

    def _unless_nan(self, body: SortText, x: str, key: str, lanes: int) -> str:
        type, condition = self.type(lanes), f"<{lanes} x i1>" if lanes > 1 else "i1"
        nan = self.is_nan(body, x, lanes)
        most = self._number(self.most, lanes)
        return body.value(f"select {condition} {nan}, {type} {most}, {type} {key}")

    def _turned(self, body: SortText, key: str, lanes: int) -> str:
        if not self.descending:
            return key
        return body.value(f"xor {self.type(lanes)} {key}, {self._number(-1, lanes)}")
