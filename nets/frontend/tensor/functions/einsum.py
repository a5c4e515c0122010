"""einsum: sums of products named by letters, in terms of matmul, multiply, sum and transpose.

Each operand is a *term*: a tensor with one letter per axis. Terms are simplified (diagonals
taken, letters nobody else needs summed away) and then contracted pair by pair from the left.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, NoReturn

from nets.errors import OpenSizeError, ShapeError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import is_open, plain, same_size
from nets.frontend.tensor.dispatch import (
    TensorLike,
    apply,
    promote,
    renewed,
    resized,
    shape_text,
)
from nets.frontend.tensor.functions import reduction
from nets.frontend.tensor.functions.arithmetic import multiply
from nets.frontend.tensor.functions.shape import moveaxis, permute_dims, reshape, squeeze
from nets.frontend.tensor.tensor import Tensor
from nets.ir.location import user_location


class Term(NamedTuple):
    """A tensor and the letter of each of its axes."""

    tensor: Tensor
    letters: str


def einsum(subscripts: Any, *operands: Any) -> Tensor:
    """Sum of products after Einstein's convention, as ``np.einsum``: "ij,jk->ik", "...ii".

    Without "->" the result has the letters that appear once, in alphabetical order. In place of
    letters each operand may be followed by a list of numbers, and the last by those of the result:
    einsum(a, [0, 1], b, [1, 2], [0, 2]). ShapeError for subscripts that cannot be read or do not
    fit the operands.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _with_letters(subscripts, *operands)
    tensors = promote(*operands) if operands else []
    inputs, output = _parsed(subscripts, tensors)
    terms = [_diagonal(Term(x, letters)) for x, letters in zip(tensors, inputs, strict=True)]
    terms = _without_repeating_axes(subscripts, terms)
    last, *rest = [_summed(terms, i, output) for i in range(len(terms))]
    for i, term in enumerate(rest):
        needed = set(output).union(*(other.letters for other in rest[i + 1 :]))
        last = _contracted(last, term, needed)
    missing = set(output) - set(last.letters)
    if missing:
        _refuse(subscripts, f"{''.join(sorted(missing))} is in no operand")
    result = permute_dims(last.tensor, [last.letters.index(letter) for letter in output])
    return renewed(result) if any(result is x for x in operands) else result


def _with_letters(*given: Any) -> tuple[str, tuple[TensorLike, ...]]:
    """Subscripts in letters, and the operands, of operands and lists of numbers in turns."""
    output = given[-1] if len(given) % 2 else None
    operands, lists = given[: len(given) // 2 * 2 : 2], given[1::2]
    text = ",".join(map(_letters, lists))
    return (text if output is None else f"{text}->{_letters(output)}"), operands


def _letters(numbers: Any) -> str:
    if not isinstance(numbers, (list, tuple, range)):
        _refuse(str(numbers), "the subscripts come first, as a string, or as lists of numbers")
    return "".join("..." if n is Ellipsis else _letter(n) for n in numbers)


def _letter(n: object) -> str:
    number = integer_of(n, "the number of an axis in einsum")
    if not 0 <= number < len(string.ascii_letters):
        _refuse(str(number), f"an axis has a number from 0 to {len(string.ascii_letters) - 1}")
    return sorted(string.ascii_letters)[number]


def _refuse(subscripts: str, why: str) -> NoReturn:
    raise ShapeError(f"einsum {subscripts!r}: {why}", user_location())


# -------------------------------------------------------------------------- subscripts


def _parsed(subscripts: str, tensors: Sequence[Tensor]) -> tuple[list[str], str]:
    """Letters of each operand and of the result; axes under '...' get letters of their own."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(tensors):
        _refuse(subscripts, f"{len(inputs)} operands are named, {len(tensors)} given")
    hidden = [
        x.ndim - len(part.replace("...", "")) if "..." in part else 0
        for part, x in zip(inputs, tensors, strict=True)
    ]
    dots = "".join(chr(0x2460 + i) for i in reversed(range(max(hidden, default=0))))
    found = []
    for part, x, count in zip(inputs, tensors, hidden, strict=True):
        letters = part.replace("...", dots[len(dots) - max(count, 0) :], 1)
        if len(letters) != x.ndim or not _are_letters(letters, dots):
            _refuse(subscripts, f"{part!r} does not name the axes of {shape_text(x.shape)}")
        found.append(letters)
    if not arrow:
        counted = Counter("".join(found))
        once = sorted(c for c, n in counted.items() if n == 1 and c not in dots)
        return found, dots + "".join(once)
    output = right.replace("...", dots, 1)
    if not _are_letters(output, dots) or len(set(output)) != len(output):
        _refuse(subscripts, f"{right!r} is no list of different axes")
    return found, output


def _are_letters(text: str, dots: str) -> bool:
    return all(c in dots or (c.isascii() and c.isalpha()) for c in text)


# ------------------------------------------------------------------------------- terms


def _diagonal(term: Term) -> Term:
    """The diagonal over axes of one letter, until each letter stands once."""
    tensor, letters = term
    for letter, count in Counter(letters).items():
        for _ in range(count - 1):
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            n = tensor.shape[first]
            if not same_size(tensor.shape[second], n, f"einsum over {letter!r}"):
                raise ShapeError(
                    f"einsum: axes {first} and {second} of shape {shape_text(tensor.shape)} are "
                    f"both {letter!r} but differ in size",
                    user_location(),
                )
            square = moveaxis(tensor, (first, second), (-2, -1))
            flat = reshape(square, (*square.shape[:-2], n * n))
            if is_open((n,)):
                what = f"the diagonal of {shape_text(tensor.shape)} needs known sizes"
                raise OpenSizeError(f"einsum {letters!r}: {what}", user_location())
            tensor = flat[..., :: n + 1] if n else flat
            rest = letters.replace(letter, "", 1).replace(letter, "", 1)
            letters = rest + letter
    return Term(tensor, letters)


def _without_repeating_axes(subscripts: str, terms: Sequence[Term]) -> list[Term]:
    """Terms without the axes of size 1 that repeat along another term's; sizes agree."""
    sizes: dict[str, int] = {}
    for tensor, letters in terms:
        for letter, n in zip(letters, tensor.shape, strict=True):
            if plain(sizes.setdefault(letter, n)) != plain(n):
                if not _is_one(n) and not _is_one(sizes[letter]):
                    what = f"einsum {subscripts!r}: axis {letter!r}"
                    if not same_size(sizes[letter], n, what):
                        _refuse(subscripts, f"axis {letter!r} has sizes {sizes[letter]} and {n}")
                sizes[letter] = n if _is_one(sizes[letter]) else sizes[letter]
    found = []
    for tensor, letters in terms:
        extra = tuple(
            i for i, c in enumerate(letters) if _is_one(tensor.shape[i]) and not _is_one(sizes[c])
        )
        kept = "".join(c for i, c in enumerate(letters) if i not in extra)
        left = squeeze(tensor, extra) if extra else tensor
        found.append(Term(resized(left, tuple(sizes[c] for c in kept)), kept))
    return found


def _is_one(n: object) -> bool:
    return isinstance(n, int) and n == 1


def _summed(terms: Sequence[Term], position: int, output: str) -> Term:
    """One term summed over the letters that are neither in the output nor in another term."""
    tensor, letters = terms[position]
    needed = set(output).union(*(t.letters for i, t in enumerate(terms) if i != position))
    axes = tuple(i for i, letter in enumerate(letters) if letter not in needed)
    if not axes:
        return terms[position]
    kept = "".join(letter for letter in letters if letter in needed)
    return Term(reduction.sum(tensor, axes, dtype=tensor.dtype), kept)


def _contracted(x: Term, y: Term, needed: Collection[str]) -> Term:
    """The product of two terms, summed over the letters they share that nobody needs."""
    shared = [c for c in x.letters if c in y.letters]
    batch = "".join(c for c in shared if c in needed)
    inner = "".join(c for c in shared if c not in needed)
    rows = "".join(c for c in x.letters if c not in shared)
    columns = "".join(c for c in y.letters if c not in shared)
    left, right = _ordered(x, batch + rows + inner), _ordered(y, batch + inner + columns)
    outer = left.shape[: len(batch)]
    m = left.shape[len(batch) : len(batch) + len(rows)]
    n = right.shape[len(batch) + len(inner) :]
    k = math.prod(right.shape[len(batch) : len(batch) + len(inner)])
    left = reshape(left, (*outer, math.prod(m), k))
    right = reshape(right, (*outer, k, math.prod(n)))
    product = apply("matmul", left, right) if inner else multiply(left, right)
    return Term(reshape(product, (*outer, *m, *n)), batch + rows + columns)


def _ordered(term: Term, letters: str) -> Tensor:
    return permute_dims(term.tensor, [term.letters.index(c) for c in letters])
