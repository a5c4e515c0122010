"""PyTorch's own samples of its operators, run through nets: ``python -m tests.acceptance.opinfo``.

``torch.testing._internal.common_methods_invocations.op_db`` describes every operator of PyTorch by
an entry with samples and with inputs that must be refused. This is no part of the normal tests: it
takes PyTorch with its test helpers (``pip install expecttest hypothesis``) and half an hour. Each
sample in float64 is computed by PyTorch, by nets eagerly, and by nets compiled; values and
gradients are compared. An entry is *whole* where all of its samples agree.

    python -m tests.acceptance.opinfo                    # all entries, a summary at the end
    python -m tests.acceptance.opinfo gather nn.functional.pad
    python -m tests.acceptance.opinfo --eager            # do not compile
    python -m tests.acceptance.opinfo --every 7          # each seventh sample
    python -m tests.acceptance.opinfo --errors           # what must be refused, instead
    python -m tests.acceptance.opinfo --part 0/2         # every second entry, for two processes

What nets calls an entry, and where its samples mean something else, is in ``opinfo_names.py``.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import nets
from tests.acceptance.opinfo_matrices import PROCESSED, SYMMETRIC, Beyond
from tests.acceptance.opinfo_names import LOOSE, WIDER, Random, full_name, function_of

AGREES, WRONG, LACKS, FAILS = "agrees", "wrong", "lacks", "fails"
"""A sample: PyTorch's numbers; others; of a kind that nets has not (complex, sparse, no such
function or argument); refused, though PyTorch takes it."""

DOUBLE = torch.float64


@dataclass
class Entry:
    """What became of the samples of one entry."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return bool(self.counts) and set(self.counts) == {AGREES}

    def note(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if kind != AGREES and len(self.notes) < 400:
            self.notes.append(f"{kind}: {text}")


# ------------------------------------------------------------------------------ conversion


class Leaves:
    """The tensors of a sample, in order, and the arguments with places in their stead."""

    def __init__(self, sample: Any) -> None:
        self.tensors: list[torch.Tensor] = []
        self.arguments = tuple(self._placed(x) for x in (sample.input, *sample.args))
        self.options = {
            key: self._placed(x)
            for key, x in sample.kwargs.items()
            if key not in ("device", "layout", "memory_format", "pin_memory")
        }

    def _placed(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            if x.layout != torch.strided or x.dtype.is_complex or x.device.type != "cpu":
                raise Beyond(f"a {x.dtype} tensor, {x.layout}")
            self.tensors.append(x)
            return Place(len(self.tensors) - 1)
        if isinstance(x, complex) or (isinstance(x, torch.dtype) and x not in DTYPES):
            raise Beyond(f"{x}")
        if isinstance(x, torch.dtype):
            return DTYPES[x]
        if isinstance(x, torch.memory_format | torch.layout | torch.device):
            return DROPPED
        if isinstance(x, torch.Size):
            return tuple(x)
        if isinstance(x, (tuple, list)):
            return type(x)(map(self._placed, x))
        return x

    def filled(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and options with these tensors in their places."""

        def fill(x: Any) -> Any:
            if isinstance(x, Place):
                return tensors[x.number]
            return type(x)(map(fill, x)) if isinstance(x, (tuple, list)) else x

        kept = [x for x in self.arguments if x is not DROPPED]
        options = {key: x for key, x in self.options.items() if x is not DROPPED}
        return tuple(map(fill, kept)), {key: fill(x) for key, x in options.items()}


@dataclass(frozen=True)
class Place:
    """Where a tensor stands among the arguments."""

    number: int


DROPPED = object()
_NAMES = (
    *("float32", "float64", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
DTYPES = {getattr(torch, name): name for name in _NAMES}


def flat(result: Any) -> list[Any]:
    """The tensors and numbers of a result."""
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [] if result is None else [result]


def array(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided or x.dtype not in DTYPES:
            raise Beyond(f"a result of {x.dtype}")
        return x.detach().resolve_neg().numpy()
    return x.numpy() if isinstance(x, nets.Tensor) else np.asarray(x)


# ------------------------------------------------------------------------------ running


def weights(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What the elements of a result are multiplied by before they add up to a loss."""
    angles = np.arange(1, math.prod(shape) + 1, dtype=np.float64)
    return (np.cos(angles) + 0.3).reshape(shape)


def by_torch(op: Any, sample: Any, leaves: Leaves) -> tuple[list[Any], list[Any], list[bool]]:
    """Results, gradients by the leaves that require one, and which results have a gradient."""
    wanted = [x for x in leaves.tensors if x.requires_grad]
    compute = partial(op.gradcheck_wrapper, op.op) if full_name(op) in SYMMETRIC else op.op
    result = compute(sample.input, *sample.args, **sample.kwargs)
    if sample.output_process_fn_grad is not None and not isinstance(result, (int, float, bool)):
        result = sample.output_process_fn_grad(result)
    outputs = flat(result)
    tracked = [x for x in outputs if isinstance(x, torch.Tensor) and x.requires_grad]
    arrays = [array(x).copy() for x in outputs]
    mask = [isinstance(x, torch.Tensor) and x.requires_grad for x in outputs]
    if not wanted or not tracked:
        return arrays, [], mask
    loss = sum((x * torch.from_numpy(weights(tuple(x.shape)))).sum() for x in tracked)
    if loss.is_complex():
        raise Beyond("a complex result")
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    pairs = zip(wanted, found, strict=True)
    return arrays, [array(torch.zeros_like(x) if g is None else g) for x, g in pairs], mask


def by_nets(
    function: Callable[..., Any], leaves: Leaves, mask: list[bool], with_grad: bool, compiled: bool
) -> tuple[list[Any], list[Any]]:
    """The same by nets; ``mask`` tells which results had a gradient in PyTorch."""
    arrays = [array(x).copy() for x in leaves.tensors]
    chosen = [i for i, x in enumerate(leaves.tensors) if x.requires_grad]

    def outputs(tensors: Sequence[Any]) -> list[Any]:
        arguments, options = leaves.filled(tensors)
        return flat(function(*arguments, **options))

    def loss(*tensors: Any) -> Any:
        every: list[Any] = [nets.as_tensor(x) for x in arrays]
        for i, x in zip(chosen, tensors, strict=True):
            every[i] = x
        found = outputs(every)
        total: Any = 0.0
        for x, is_tracked in zip(found, mask, strict=False):
            if is_tracked:
                total = total + nets.sum(nets.astype(x, "float64") * weights(x.shape))
        return total, tuple(found)

    inputs = [arrays[i] for i in chosen]
    if not with_grad:
        plain = lambda *tensors: loss(*tensors)[1]  # noqa: E731
        plain = nets.trace(plain) if compiled else plain
        return [array(x) for x in plain(*map(nets.Tensor, inputs))], []
    if compiled:
        where = tuple(range(len(inputs)))
        both = nets.trace(nets.value_and_grad(loss, argnums=where, has_aux=True))
        (_, found), gradients = both(*map(nets.Tensor, inputs))
        return [array(x) for x in found], [array(x) for x in gradients]
    tensors = [nets.Tensor(x, requires_grad=True) for x in inputs]
    total, found = loss(*tensors)
    if isinstance(total, nets.Tensor) and total.requires_grad:
        total.backward()
    return [array(x) for x in found], [array(x.grad) for x in tensors]


def difference(
    name: str, ours: list[Any], theirs: list[Any], what: str, is_random: bool = False
) -> str:
    """What differs, or nothing."""
    if len(ours) != len(theirs):
        return f"{len(ours)} {what}s, not {len(theirs)}"
    rtol, atol = LOOSE.get(name, (1e-7, 1e-9))
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a.shape != b.shape:
            return f"{what} {i} of shape {a.shape}, not {b.shape}"
        if what == "result" and a.dtype != b.dtype:
            return f"{what} {i} of dtype {a.dtype}, not {b.dtype}"
        if is_random:
            continue
        if not np.allclose(a, b, rtol, atol, equal_nan=True):
            off = np.abs(np.asarray(a, float) - np.asarray(b, float))
            return f"{what} {i} is off by {np.nanmax(off):.3g}: {a.ravel()[:4]}, {b.ravel()[:4]}"
    return ""


def text(leaves: Leaves) -> str:
    shapes = [tuple(x.shape) for x in leaves.tensors]
    return f"{shapes} {leaves.arguments} {leaves.options}"[:300]


def run_sample(op: Any, sample: Any, entry: Entry, compiles: bool) -> None:
    name = entry.name
    try:
        leaves = Leaves(sample)
        function = function_of(name)
        theirs = by_torch(op, sample, leaves)
    except Beyond as reason:
        entry.note(LACKS, str(reason))
        return
    except Exception as error:  # of PyTorch, such as no gradient for this dtype
        entry.note(LACKS, f"PyTorch itself: {error}"[:200])
        return
    if name in PROCESSED:
        plain, process = function, sample.output_process_fn_grad
        function = lambda *arguments, **options: process(plain(*arguments, **options))  # noqa: E731
    tracked, with_grad = theirs[2], bool(theirs[1])
    for compiled in (False, True) if compiles else (False,):
        road = "compiled" if compiled else "eager"
        try:
            ours = by_nets(function, leaves, tracked, with_grad, compiled)
        except Random as drawn:
            found = difference(
                name, list(map(array, flat(drawn.result))), theirs[0], "result", True
            )
            entry.note(WRONG if found else AGREES, found)
            return
        except Beyond as reason:
            entry.note(LACKS, f"{reason}: {text(leaves)}")
            return
        except Exception as error:
            if compiled and isinstance(error, nets.errors.ControlFlowError):
                continue  # a shape or a Python number that depends on values
            kind = type(error).__name__
            entry.note(FAILS, f"{road}: {kind}: {str(error)[:160]!r}: {text(leaves)}")
            return
        found = difference(name, ours[0], theirs[0], "result")
        found = found or difference(name, ours[1], theirs[1], "gradient")
        if found:
            entry.note(WRONG, f"{road}: {found}: {text(leaves)}")
            return
    entry.note(AGREES, "")


def samples_of(op: Any) -> Iterator[Any]:
    torch.manual_seed(0)
    yield from op.sample_inputs("cpu", DOUBLE, requires_grad=op.supports_autograd)


def run_entry(op: Any, every: int, compiles: bool) -> Entry:
    entry = Entry(full_name(op))
    for i, sample in enumerate(samples_of(op)):
        if i % every == 0:
            run_sample(op, sample, entry, compiles)
    return entry


# ------------------------------------------------------------------------------ bad input


def run_errors(op: Any) -> Entry:
    """What PyTorch refuses: nets must refuse it, too."""
    entry = Entry(full_name(op))
    try:
        every = list(op.error_inputs("cpu")) if op.error_inputs_func is not None else []
    except (AttributeError, TypeError, RuntimeError):  # of devices that are not there
        every = []
    for bad in every:
        sample = bad.sample_input
        try:
            leaves = Leaves(sample)
            function = function_of(entry.name)
            arrays = [nets.Tensor(array(x).copy()) for x in leaves.tensors]
        except (Beyond, ValueError) as reason:  # and more axes than NumPy has
            entry.note(LACKS, str(reason))
            continue
        arguments, options = leaves.filled(arrays)
        try:
            function(*arguments, **options)
        except (nets.errors.NetsError, TypeError, Beyond):
            entry.note(AGREES, "")
        except Exception as error:
            entry.note(FAILS, f"{type(error).__name__} {error}: {text(leaves)}"[:400])
        else:
            is_numpys = is_number(sample) and not bad.error_regex
            if is_numpys or entry.name in WIDER:
                entry.note(AGREES, "")  # taken on purpose
                continue
            entry.note(WRONG, f"taken; PyTorch: {bad.error_regex[:80]!r}: {text(leaves)}")
    return entry


def is_number(sample: Any) -> bool:
    """Is an operand a Python number?"""
    return any(isinstance(x, (int, float)) for x in (sample.input, *sample.args))


# ------------------------------------------------------------------------------ the command


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.opinfo")
    parser.add_argument("names", nargs="*", help="entries; all by default")
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--every", type=int, default=1, help="each n-th sample")
    parser.add_argument("--errors", action="store_true", help="what must be refused")
    parser.add_argument("--part", default="0/1", help="i/n: every n-th entry, from i on")
    parser.add_argument("--notes", type=int, default=1, help="lines by entry")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    warnings.simplefilter("ignore")
    number, parts = map(int, chosen.part.split("/"))
    ops = [op for op in op_db if op.supports_dtype(DOUBLE, "cpu")]
    if chosen.names:
        ops = [op for op in ops if op.name in chosen.names or full_name(op) in chosen.names]
    entries = []
    start = time.perf_counter()
    for op in ops[number::parts]:
        entry = run_errors(op) if chosen.errors else run_entry(op, chosen.every, not chosen.eager)
        entries.append(entry)
        if not entry.is_whole and entry.counts:
            counted = ", ".join(f"{n} {kind}" for kind, n in sorted(entry.counts.items()))
            print(f"{entry.name}: {counted}", flush=True)
            for note in entry.notes[: chosen.notes]:
                print(f"    {note}", flush=True)
    total: Counter[str] = sum((entry.counts for entry in entries), Counter())
    whole = sum(entry.is_whole for entry in entries)
    lacking = [entry.name for entry in entries if set(entry.counts) == {LACKS}]
    print(f"\n{len(lacking)} entries that nets has not: {', '.join(lacking)}")
    wrong = [entry.name for entry in entries if entry.counts[WRONG]]
    print(f"{len(wrong)} entries with wrong samples: {', '.join(wrong)}")
    print(
        f"{sum(total.values())} samples of {len(entries)} entries: "
        + ", ".join(f"{total[kind]} {kind}" for kind in (AGREES, WRONG, LACKS, FAILS))
        + f"; {whole} entries whole; {time.perf_counter() - start:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
