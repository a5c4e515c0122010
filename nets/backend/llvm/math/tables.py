"""Tables: numbers looked up in each lane, by permutations of registers where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.backend.llvm.isa import x86
from nets.backend.llvm.math.body import SELF, Body, Lanes
from nets.backend.llvm.math.formats import F32, F64

TABLES: Final = 8, 16
"""Entries a table may have: as many float32 as a register of AVX2 or of AVX-512."""


def lookup(body: Body, table: Sequence[float], place: Lanes) -> Lanes:
    """``table[place mod its length]`` in each lane, for 8 or 16 numbers.

    Vectors get them by permutations of registers where the instruction set has these, a lane alone
    from memory.
    """
    assert len(table) in TABLES
    if body.isa == "generic":
        return _loaded(body, table, place)
    if body.has_wide_forms:
        return _permuted(body, [*table, *table][:16], place)
    if body.lanes > 8 and body.lanes % 8 == 0:
        eight = body.sibling(body.form, 8)
        return body.joined([lookup(eight, table, part) for part in body.split(place, eight)])
    bits = [body.form.bits(number) for number in table]
    if body.form is F32 and body.lanes == 8:
        return body.from_bits(_words(body, bits, place))
    if body.form is F64 and body.lanes in (4, 8):
        return body.from_bits(_pairs_of_words(body, bits, place))
    return _loaded(body, table, place)


def _permuted(body: Body, table: Sequence[float], place: Lanes) -> Lanes:
    """``table[place mod 16]``: one instruction of AVX-512."""
    numbers = [f"{body.scalar('float')} {body.form.constant(number)}" for number in table]
    where = f"{body.type('integer')} {place.text}"
    return body.emit("float", x86.numbers_at(body.type("float"), numbers, where))


def _words(body: Body, table: Sequence[int], place: Lanes) -> Lanes:
    """``table[place mod its length]`` of 32-bit integers, for the lanes of one register."""
    if not any(table):
        return Lanes(body, "integer", "zeroinitializer")
    type = body.type("integer")
    low, *high = (
        body.emit("integer", x86.words_at(type, table[i : i + 8], place.text))
        for i in range(0, len(table), 8)
    )
    # A negative number chooses in one instruction.
    return body.select((place << 28) < 0, high[0], low) if high else low


def _pairs_of_words(body: Body, table: Sequence[int], place: Lanes) -> Lanes:
    """``table[place mod its length]`` of 64-bit integers, for one register of lanes or two.

    The words of two registers come together. They are interleaved in the end, which works
    within the halves of a register, so that the order before is one that makes up for it.
    """
    words = body.sibling(F32, 8)
    all_words, register = f"<{2 * body.lanes} x i32>", words.type("integer")
    integers = body.type("integer")
    both = body.emit("integer", f"bitcast {integers} {place.text} to {all_words}").text
    order = (0, 2, 8, 10, 4, 6, 12, 14) if body.lanes == 8 else (0, 2, 0, 2, 4, 6, 4, 6)
    where = Lanes(words, "integer", body.shuffled(all_words, both, "poison", order))
    low, high = (
        _words(words, [number >> shift & 0xFFFFFFFF for number in table], where).text
        for shift in (0, 32)
    )
    first = body.shuffled(register, low, high, (0, 8, 1, 9, 4, 12, 5, 13))
    if body.lanes == 8:
        second = body.shuffled(register, low, high, (2, 10, 3, 11, 6, 14, 7, 15))
        first = body.shuffled(register, first, second, range(16))
    return body.emit("integer", f"bitcast {all_words} {first} to {integers}")


def _loaded(body: Body, table: Sequence[float], place: Lanes) -> Lanes:
    """The table in memory, read lane by lane."""
    name, scalar, integer = f"@{SELF}.t{len(body.globals)}", body.form.name, body.form.integer
    numbers = ", ".join(f"{scalar} {body.form.constant(number)}" for number in table)
    array = f"[{len(table)} x {scalar}]"
    body.globals.append(f"{name} = internal unnamed_addr constant {array} [{numbers}], align 64")
    inside, type = place & (len(table) - 1), body.type("float")
    if body.lanes == 1:
        at = body.emit("integer", f"getelementptr {scalar}, ptr {name}, {integer} {inside.text}")
        return body.emit("float", f"load {scalar}, ptr {at.text}")
    found = "poison"
    for lane in range(body.lanes):
        number = body.emit(
            "integer", f"extractelement {body.type('integer')} {inside.text}, i64 {lane}"
        )
        at = body.emit("integer", f"getelementptr {scalar}, ptr {name}, {integer} {number.text}")
        value = body.emit("float", f"load {scalar}, ptr {at.text}")
        found = body.emit(
            "float", f"insertelement {type} {found}, {scalar} {value.text}, i64 {lane}"
        ).text
    return Lanes(body, "float", found)
