"""Random numbers that are functions of a key and a shape, so that they are the same everywhere.

The generator is Threefry-2x32 with 20 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011. It encrypts the positions 0, 1, 2, … with the key; nothing
but 32-bit additions, rotations and exclusive ors, written in functions of nets, so that it runs
eagerly, inside a trace and in an exported library, and gives the same bits in each. Only what is
made of them by logarithms and cosines (``normal``) may differ in the last ones.

Functions take a ``shape``, a size or several; a ``dtype``, a name or one of NumPy's; and a ``key``
made by the functions ``key``, ``split`` or ``fold_in``, to be used once. Without one
they take the next key of ``default_generator``, which ``nets.manual_seed`` starts anew. A generator
counts in a Tensor: a traced function that draws from it draws other numbers at every call, and a
loop or a branch inside it carries the count along.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

import nets

_ROTATIONS: Final = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY: Final = 0x1BD11BDA
_WORD: Final = 0xFFFFFFFF

Shape = int | tuple[int, ...] | list[int]


# -------------------------------------------------------------------------------- keys


def key(seed: int | nets.Tensor) -> nets.Tensor:
    """The key of a seed: its low 64 bits as two uint32 words, shape (2,)."""
    if isinstance(seed, nets.Tensor):
        return nets.stack(_words(seed))
    if not isinstance(seed, int | np.integer):
        raise nets.errors.ArgumentError(
            f"a seed is a whole number, not {seed!r}", nets.user_location()
        )
    number = operator.index(seed)
    return nets.Tensor([(number >> 32) & _WORD, number & _WORD], dtype="uint32")


def split(key: nets.Tensor, num: int = 2) -> nets.Tensor:
    """``num`` independent keys made of one ``key``: shape (num, 2)."""
    return nets.stack(_encrypt(key, *_words(nets.arange(num))), axis=1)


def fold_in(key: nets.Tensor, number: npt.ArrayLike | nets.Tensor) -> nets.Tensor:
    """The key that belongs to this number (a 0-d integer, such as a step) and the given key."""
    return nets.stack(_encrypt(key, *_words(nets.as_tensor(number))))


class _State(nets.Tensor):
    """A Tensor of a generator's state, which loops and branches of a trace carry along."""

    __slots__ = ()
    is_carried: ClassVar[bool] = True


class Generator:
    """A source of keys: a key and how many keys have been taken from it, both Tensors.

    One made inside a trace starts from its seed at every call, as the plain function has it.
    """

    def __init__(self, seed: int | nets.Tensor = 0) -> None:
        self.key = _State([0, 0], dtype="uint32")
        self.counter = _State(0, dtype="uint64")
        self.manual_seed(seed)

    def manual_seed(self, seed: int | nets.Tensor) -> Generator:
        """Start anew from a seed."""
        self.key.data = key(seed)
        self.counter.data = 0
        return self

    def next_key(self) -> nets.Tensor:
        """A key that has not been given before; in a step of ``nets.distributed.parallel`` another
        one for each shard."""
        found = fold_in(self.key, self.counter)
        shard = nets.distributed.current_shard()
        if shard is not None:
            found = fold_in(found, shard)
        self.counter.data = self.counter + 1
        return found

    def named_state(self) -> Iterator[tuple[str, nets.Tensor]]:
        """The tensors whose elements are in the state dict."""
        yield from (("key", self.key), ("counter", self.counter))

    def state_dict(self) -> dict[str, Any]:
        """Key and count as arrays."""
        return {"key": self.key.numpy(), "counter": self.counter.numpy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the state was taken."""
        if not isinstance(state, dict) or not {"key", "counter"} <= state.keys():
            raise nets.errors.MissingKeyError(
                "the state of a generator has the keys 'key' and 'counter'", nets.user_location()
            )
        found = nets.Tensor(state["key"]), nets.Tensor(state["counter"])
        _check(
            [x.shape for x in found] == [(2,), ()] and all(x.dtype.kind in "iu" for x in found),
            "a generator's state is a key of two integers and a count",
        )
        self.key.data, self.counter.data = found[0].data, found[1].data


with nets.suspended():  # whoever imports this inside a trace
    default_generator: Final = Generator()
"""Where keys come from that nobody gives. It starts from the seed 0 in every process."""


def manual_seed(seed: int | nets.Tensor) -> Generator:
    """Start the default generator anew from a ``seed``: initial weights, dropout and draws without
    a key."""
    return default_generator.manual_seed(seed)


# ------------------------------------------------------------------------------- draws


def bits(shape: Shape = (), key: nets.Tensor | None = None) -> nets.Tensor:
    """uint32 words, each of the 2³² values as likely as the others."""
    sizes = _sizes(shape)
    count = math.prod(sizes)
    first, second = _pairs(key, (count + 1) // 2)
    return nets.concatenate([first, second])[:count].reshape(sizes)


def uniform(
    shape: Shape = (),
    low: float = 0.0,
    high: float = 1.0,
    dtype: npt.DTypeLike = "float32",
    key: nets.Tensor | None = None,
) -> nets.Tensor:
    """Numbers in [0, 1), multiples of 2⁻²⁴ (float32) or 2⁻⁵³ (float64), moved to [low, high).

    The sum may round up to high. DTypeError for other dtypes, ArgumentError for bounds that are not
    in order.
    """
    sizes = _sizes(shape)
    is_known = _are_numbers(low, high)
    _check(not is_known or low <= high, f"there is no number in [{low}, {high})")
    if _dtype(dtype) not in (np.float32, np.float64):
        raise nets.errors.DTypeError(
            f"random numbers are drawn as float32 or float64, not {dtype}", nets.user_location()
        )
    if _dtype(dtype) == np.float64:
        fraction = _fraction64(*_pairs(key, math.prod(sizes))).reshape(sizes)
    else:
        fraction = _fraction32(bits(sizes, key))
    if is_known and (low, high) == (0.0, 1.0):
        return fraction
    return fraction * (high - low if is_known else nets.subtract(high, low)) + low


def normal(
    shape: Shape = (),
    mean: float = 0.0,
    std: float = 1.0,
    dtype: npt.DTypeLike = "float32",
    key: nets.Tensor | None = None,
) -> nets.Tensor:
    """Normally distributed numbers around ``mean``, with standard deviation ``std``.

    Box and Muller, "A note on the generation of random normal deviates", 1958: two uniform
    numbers give two normal ones. ArgumentError for a negative ``std``.
    """
    sizes = _sizes(shape)
    _check(not _are_numbers(mean, std) or std >= 0, f"a standard deviation is not {std}")
    count = math.prod(sizes)
    drawn = uniform((2, (count + 1) // 2), dtype=dtype, key=key)
    radius = nets.sqrt(-2.0 * nets.log(1.0 - drawn[0]))  # 1 − u is never 0
    angle = 2 * math.pi * drawn[1]
    pairs = nets.concatenate([radius * nets.cos(angle), radius * nets.sin(angle)])
    return pairs[:count].reshape(sizes) * std + mean


def bernoulli(
    p: npt.ArrayLike | nets.Tensor = 0.5,
    shape: Shape | None = None,
    key: nets.Tensor | None = None,
) -> nets.Tensor:
    """Bools that are true with probability p, which broadcasts to the shape.

    ArgumentError for what is no probability, from a traced function when it runs.
    """
    likely = nets.check_range(p, 0, 1, "a probability")
    return uniform(likely.shape if shape is None else shape, key=key) < likely


def randint(
    low: int,
    high: int,
    shape: Shape = (),
    dtype: npt.DTypeLike = "int64",
    key: nets.Tensor | None = None,
) -> nets.Tensor:
    """Integers in [low, high), for ranges up to 2³²; their odds differ by less than 2⁻³²."""
    are_integers = all(isinstance(n, int | np.integer) for n in (low, high))
    is_range = are_integers and 0 < high - low <= 2**32
    _check(is_range, f"there is no integer to draw in [{low}, {high})")
    words = nets.astype(bits(shape, key), "uint64")
    return nets.astype(words * (high - low) >> 32, dtype) + low


def categorical(
    logits: npt.ArrayLike | nets.Tensor, axis: int = -1, key: nets.Tensor | None = None
) -> nets.Tensor:
    """A position along the axis, each with the odds exp(logit).

    The largest of the logits with Gumbel noise added: Gumbel, "Statistical theory of extreme
    values", 1954.
    """
    scores = nets.as_tensor(logits)
    drawn = 1.0 - uniform(scores.shape, dtype="float64", key=key)
    # −log(u) of u = 1 is 0, whose logarithm is −inf: the smallest positive number stands for it.
    exponential = nets.maximum(-nets.log(drawn), 2.0**-60)
    return nets.argmax(scores - nets.log(exponential), axis=axis)


def permutation(x: int | npt.ArrayLike | nets.Tensor, key: nets.Tensor | None = None) -> Any:
    """The numbers 0 … x − 1, or the slices of an array x, in random order.

    An int gives an int64 Tensor. Sorts words of 64 bits: each number, below random bits that fill
    the rest.
    """
    number: Any = x
    if isinstance(number, numbers.Integral):
        x = int(number)
    count = x if isinstance(x, int) else len(nets.as_tensor(x))
    _check(count >= 0, f"there is no order of {count} numbers")
    own = (1 << max(count - 1, 1).bit_length()) - 1  # the bits of a number
    first, second = (nets.astype(word, "uint64") for word in _pairs(key, count))
    words = ((first << 32) | second) & (2**64 - 1 - own) | nets.astype(nets.arange(count), "uint64")
    order = nets.astype(nets.sort(words) & own, "int64")
    return order if isinstance(x, int) else nets.take(x, order, axis=0)


# --------------------------------------------------------------------------- generator


def _encrypt(
    key: nets.Tensor, first: nets.Tensor, second: nets.Tensor
) -> tuple[nets.Tensor, nets.Tensor]:
    """Threefry-2x32-20 of two counter words (uint32, of any one shape) under a key."""
    if not isinstance(key, nets.Tensor) or key.shape != (2,) or key.dtype != "uint32":
        is_tensor = isinstance(key, nets.Tensor)
        what = f"{key.dtype} of shape {key.shape}" if is_tensor else type(key).__name__
        raise nets.errors.ArgumentError(
            f"a key is what key, split (one of its rows) or fold_in give, not {what}",
            nets.user_location(),
        )
    words = (key[0], key[1], first, second)
    if first.is_traced:
        return _rounds(*words)
    # A hundred operations on integers: the same words sooner from arrays than from tensors.
    with np.errstate(over="ignore"):  # NumPy warns where a single word wraps around
        drawn = _rounds(*(np.asarray(word.data) for word in words))
    return nets.Tensor(drawn[0]), nets.Tensor(drawn[1])


def _rounds(k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """The rounds of Threefry, of tensors or of arrays of uint32."""
    keys = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << distance) | (x1 >> (32 - distance))) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + (keys[(group + 2) % 3] + (group + 1))
    return x0, x1


def _words(number: nets.Tensor) -> tuple[nets.Tensor, nets.Tensor]:
    """High and low 32 bits of integers, as 64-bit ones."""
    number = number if number.dtype == "uint64" else nets.astype(number, "int64")
    return nets.astype(number >> 32, "uint32"), nets.astype(number & _WORD, "uint32")


def _pairs(key: nets.Tensor | None, count: int) -> tuple[nets.Tensor, nets.Tensor]:
    """Two random words for each of ``count`` positions."""
    own = default_generator.next_key() if key is None else key
    return _encrypt(own, *_words(nets.arange(count)))


def _fraction32(word: nets.Tensor) -> nets.Tensor:
    return nets.astype(word >> 8, "float32") * 2.0**-24


def _fraction64(high: nets.Tensor, low: nets.Tensor) -> nets.Tensor:
    upper, lower = nets.astype(high >> 5, "float64"), nets.astype(low >> 6, "float64")
    return (upper * 2.0**26 + lower) * 2.0**-53


def _sizes(shape: Shape) -> tuple[int, ...]:
    sizes: tuple[Any, ...] = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    are_sizes = all(map(_is_size, sizes))
    _check(are_sizes, f"a shape is made of whole numbers from 0 on, not {shape!r}")
    return tuple(int(n) if isinstance(n, np.integer) else n for n in sizes)


def _is_size(n: Any) -> bool:
    return isinstance(n, numbers.Integral) and bool(n >= 0)  # type: ignore[operator]


def _dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    return nets.zeros((), dtype).dtype


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise nets.errors.ArgumentError(message, nets.user_location())


def _are_numbers(*numbers: Any) -> bool:
    """Whether they are all known; ArgumentError for what is neither a number nor a tensor."""
    known = [isinstance(number, int | float | np.number) for number in numbers]
    for number, is_number in zip(numbers, known, strict=True):
        is_tensor = isinstance(number, nets.Tensor | np.ndarray)
        _check(is_number or is_tensor, f"a number is needed, not {number!r}")
    return all(known)
