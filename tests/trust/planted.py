"""Faults planted in nets: ``python -m tests.trust.planted [FIRST END]``.

Each is a mistake that people make: one line of one file, wrong in a case that a user can meet. It
is planted in a copy of the repository, whose tests must find it: first those that are likely to,
and where these find nothing, all. What finds a fault must pass where none is planted. The faults
were chosen from the sources alone, before anybody looked whether a test would find them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.trust.compiler_faults import COMPILER_FAULTS
from tests.trust.fault import Fault

ROOT: Final = Path(__file__).parents[2]
LEFT_OUT: Final = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache")
MISSED_AT_MOST: Final = 1
LONGEST: Final = 1800
"""Seconds that a run of tests may take; one that hangs has found the fault, too."""


FAULTS: Final = (
    # ------------------------------------------------------------------------ compiler passes
    Fault(
        "passes",
        "a cast by way of a signed dtype counts the sign as a bit of the number",
        "nets/passes/simplify/simplify_arithmetic.py",
        'return bits <= outer.bits - (outer.kind == "i")',
        "return bits <= outer.bits",
        ("tests/passes/simplify/test_canonicalize.py",),
    ),
    Fault(
        "passes",
        "two transposes are joined in the wrong order",
        "nets/passes/simplify/simplify_shapes.py",
        'axes = tuple(inner.attributes["axes"][axis] for axis in op.attributes["axes"])',
        'axes = tuple(op.attributes["axes"][axis] for axis in inner.attributes["axes"])',
        ("tests/passes/simplify/test_canonicalize.py",),
    ),
    Fault(
        "passes",
        "a carry that only the condition of a loop needs is dropped",
        "nets/passes/simplify/simplify_control.py",
        "for region in op.regions[:-1]:",
        "for region in op.regions[:0]:",
        ("tests/passes/test_filetests.py",),
    ),
    Fault(
        "passes",
        "a kernel is taken to write to the first of its operands",
        "nets/passes/loops/hoist.py",
        "for v in op.operands[-1:] if isinstance(v.type, BufferType)",
        "for v in op.operands[:1] if isinstance(v.type, BufferType)",
        ("tests/passes/loops/test_hoist.py",),
    ),
    Fault(
        "passes",
        "a buffer that a loop touches is free from the first operation of the loop on",
        "nets/passes/loops/plan_memory.py",
        "touched[made_by] = min(first, places[around]), max(last, ends[around])",
        "touched[made_by] = min(first, places[around]), max(last, places[around])",
        ("tests/property/test_control_programs.py",),
    ),
    Fault(
        "passes",
        "of rows read in several places, a single one that is left is forgotten",
        "nets/passes/loops/streams.py",
        "if trips % streams:",
        "if trips % streams > 1:",
        ("tests/passes/test_filetests.py",),
    ),
    Fault(
        "passes",
        "an argument is overwritten before a check that may refuse the call",
        "nets/passes/lowering/updates.py",
        "is_late = last_read < (end + 1 if is_certain else start) and last_check < start",
        "is_late = last_read < (end + 1 if is_certain else start)",
        ("tests/passes/lowering/test_updates.py",),
    ),
    Fault(
        "passes",
        "0.0 and -0.0 are one constant",
        "nets/passes/simplify/cse.py",
        "return float, value.hex()",
        "return float, value",
        ("tests/passes/simplify/test_cse.py",),
    ),
    Fault(
        "passes",
        "the gradient of a scan always runs backwards",
        "nets/passes/derivatives/control_gradients.py",
        '"reverse": not forward.op.attributes["reverse"],',
        '"reverse": True,',
        ("tests/frontend/tracing/test_control_flow.py",),
    ),
    # ---------------------------------------------------------------- code generation, kernels
    Fault(
        "code generation",
        "a negative number shifted beyond its bits keeps them",
        "nets/backend/llvm/arithmetic.py",
        "amount = select(code, type, inside, y, constant(type, bits - 1))",
        "amount = select(code, type, inside, y, constant(type, 0))",
        ("tests/backend/llvm/test_emit_arithmetic.py", "tests/backend/llvm/test_bits.py"),
    ),
    Fault(
        "code generation",
        "whether an integer is widened with its sign is asked of the new dtype",
        "nets/backend/llvm/arithmetic.py",
        'return "sext" if old.kind in "ix" else "zext"',
        'return "sext" if new.kind in "ix" else "zext"',
        ("tests/backend/llvm/test_emit_arithmetic.py", "tests/backend/llvm/test_bits.py"),
    ),
    Fault(
        "code generation",
        "a thread's slice of the workspace is what the last loop nest needs",
        "nets/backend/llvm/layout.py",
        "slice_end = room_for_either(slice_end, end)",
        "slice_end = end",
        ("tests/backend/llvm/test_memory_safety.py",),
    ),
    Fault(
        "code generation",
        "the workspace has a slice for all threads but one",
        "nets/backend/llvm/layout.py",
        "return layout.arena + threads * layout.slice",
        "return layout.arena + (threads - 1) * layout.slice",
        ("tests/backend/llvm/test_memory_safety.py",),
    ),
    Fault(
        "kernels",
        "rows read with a stride that does not divide them lose their last element",
        "nets/backend/llvm/conv/rows.py",
        "high = max(low, min(width, -((first - size) // step)))",
        "high = max(low, min(width, (size - first) // step))",
        ("tests/backend/llvm/test_conv.py",),
    ),
    Fault(
        "kernels",
        "the last block of a long row times a matrix replaces the sum",
        "nets/backend/llvm/gemm/row.py",
        "            self._strips(body, sums, columns, whole, self.k % block)\n"
        '            body.call(adder, f"ptr {out}, ptr %workspace, i64 {columns}")',
        "            self._strips(body, places, columns, whole, self.k % block)",
        ("tests/backend/llvm/test_gemm.py",),
    ),
    Fault(
        "kernels",
        "a negative base with an even exponent gives a negative power",
        "nets/backend/llvm/math/power.py",
        "return whole, whole & b.trunc(half).differs(half)",
        "return whole, whole",
        ("tests/backend/llvm/test_math.py",),
    ),
    # ------------------------------------------------------------------------------ runtime (C)
    Fault(
        "runtime",
        "the caller runs the range of the last worker as well",
        "runtime/pool.c",
        "for (int32_t number = pool->started + 1; number < pool->face.threads; number++)",
        "for (int32_t number = pool->started; number < pool->face.threads; number++)",
        ("tests/runtime/test_runtime.py",),
    ),
    Fault(
        "runtime",
        "two callers may use the workers at a time",
        "runtime/pool.c",
        "atomic_exchange(&pool->busy, true)",
        "atomic_load(&pool->busy)",
        ("tests/runtime/test_runtime.py",),
    ),
    Fault(
        "runtime",
        "a call that fails leaves the mode of the processor changed",
        "runtime/call.c",
        "    nets_ieee_mode_leave(mode);\n    return status;",
        "    if (status == NETS_OK) {\n        nets_ieee_mode_leave(mode);\n    }\n"
        "    return status;",
        ("tests/runtime/test_runtime.py",),
    ),
    Fault(
        "runtime",
        "a relocation of 8 bytes is checked as one of 4",
        "runtime/relocate.c",
        "type == R_X86_64_64 || type == R_X86_64_PC64 ? 8 : 4",
        "type == R_X86_64_64 ? 8 : 4",
        ("tests/runtime/test_runtime.py",),
    ),
    Fault(
        "runtime",
        "arrays of the other byte order are read as they are",
        "runtime/python/native.c",
        "(descr->type_num != form->descr->type_num || !PyArray_ISNBO(descr->byteorder))",
        "descr->type_num != form->descr->type_num",
        ("tests/runtime/test_dispatch.py",),
    ),
    Fault(
        "runtime",
        "a value that others hold as well is updated in place",
        "runtime/python/plan.c",
        "(!is_held || Py_REFCNT(value) == 1)",
        "(!is_held || Py_REFCNT(value) >= 1)",
        ("tests/frontend/calls/test_in_place.py",),
    ),
    Fault(
        "runtime",
        "defaults of keyword arguments are not compared",
        "runtime/python/guards.c",
        "for (Py_ssize_t i = 0; i < 3; i++)",
        "for (Py_ssize_t i = 0; i < 2; i++)",
        ("tests/frontend/world/test_guards.py",),
    ),
    # ------------------------------------------------------------------- export, loading, cache
    Fault(
        "cache",
        "the key leaves out the processor of this machine",
        "nets/compiler/compile.py",
        "self.options.cpu or cpu_identity(),",
        "self.options.cpu,",
        ("tests/compiler/test_compile.py",),
    ),
    Fault(
        "cache",
        "an entry that the group may write to is trusted",
        "nets/backend/process/cache.py",
        "status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)",
        "status.st_mode & stat.S_IWOTH",
        ("tests/backend/process/test_cache.py",),
    ),
    Fault(
        "export",
        "the size of the state is not a multiple of its alignment",
        "nets/backend/library/manifest.py",
        "return tuple(members), -(-end // alignment) * alignment",
        "return tuple(members), end",
        ("tests/frontend/library/test_export_state.py",),
    ),
    Fault(
        "export",
        "code under another manifest is loaded",
        "nets/backend/library/library_file.py",
        "if not is_sealed or not is_whole or data[start : start + len(constant)] != constant:",
        "if not is_sealed or not is_whole:",
        ("tests/backend/library/test_damaged_libraries.py",),
    ),
    # -------------------------------------------------------------- frontend, trace, autograd
    Fault(
        "autograd",
        "a result that is returned twice takes the last of its cotangents",
        "nets/passes/derivatives/vjp.py",
        "accumulate(b, cts, result, seed)",
        "cts[result] = seed",
        ("tests/frontend/derived/test_transforms.py",),
    ),
    Fault(
        "autograd",
        "a second backward() in one trace forgets the first",
        "nets/frontend/tensor/state.py",
        "if id(owner) in gradients.values and gradients.values[id(owner)] is None:",
        "if id(owner) in gradients.values:",
        ("tests/frontend/tracing/test_state.py",),
    ),
    Fault(
        "autograd",
        "the backward half reads an array that its owner has changed meanwhile",
        "nets/frontend/calls/specialisation.py",
        "array.copy() if x is None else array for x, array in",
        "array for x, array in",
        ("tests/frontend/calls/test_trace.py",),
    ),
    Fault(
        "frontend and trace",
        "(1,) and (1.0,) are one static argument",
        "nets/frontend/tracing/signature.py",
        "return type(value), tuple(map(_exactly, value))",
        "return type(value), len(value)",
        ("tests/frontend/calls/test_trace.py",),
    ),
    Fault(
        "frontend and trace",
        "dicts come back with their keys sorted",
        "nets/frontend/pytree.py",
        "items = [(key, values[key]) for key in original_keys]",
        "items = list(values.items())",
        ("tests/frontend/test_pytree.py",),
    ),
    Fault(
        "frontend and trace",
        "of several indices of a trace, one beyond its axis reads the next row",
        "nets/frontend/tensor/functions/indexing.py",
        "outside = outside | (forward < 0) | (forward >= size)",
        "outside = outside | (forward < 0)",
        ("tests/frontend/tensor/test_functions.py",),
    ),
    Fault(
        "frontend and trace",
        "what is assigned at places that a trace tells is added to what is there",
        "nets/frontend/tensor/functions/assignment.py",
        'value: Tensor, combiner: str = "set") -> Tensor:',
        'value: Tensor, combiner: str = "add") -> Tensor:',
        ("tests/frontend/tensor/test_functions.py",),
    ),
    # ---------------------------------------------------------------------- functions and ops
    Fault(
        "functions",
        "moveaxis takes the destinations as they come",
        "nets/frontend/tensor/functions/shape.py",
        "for place, axis in sorted(zip(places, taken, strict=True)):",
        "for place, axis in zip(places, taken, strict=True):",
        ("tests/frontend/tensor/test_functions.py",),
    ),
    Fault(
        "functions",
        "the first float beyond an integer dtype counts as inside",
        "nets/ops/tensor/rounding.py",
        "fits = (whole >= below) & (whole < above)",
        "fits = (whole >= below) & (whole <= above)",
        ("tests/ops/test_elementwise.py",),
    ),
    Fault(
        "functions",
        "unsigned exponents lose their highest bit",
        "nets/ops/tensor/arithmetic.py",
        "for bit in range(dtype.bits - signed):",
        "for bit in range(dtype.bits - 1):",
        ("tests/backend/llvm/test_native_ops.py",),
    ),
    Fault(
        "functions",
        "the gradient of a slice with steps puts the zeros in front",
        "nets/ops/tensor/slicing.py",
        "high = tuple(count for step in steps for count in (0, step - 1))\n"
        "    rows = _pad_zero(b, columns, (0,) * len(high), high)",
        "high = tuple(count for step in steps for count in (0, step - 1))\n"
        "    rows = _pad_zero(b, columns, high, (0,) * len(high))",
        ("tests/ops/test_slicing.py", "tests/ops/test_generated.py"),
    ),
    Fault(
        "functions",
        "var takes no correction of 0 where ddof is given",
        "nets/frontend/tensor/functions/reduction.py",
        "less = ddof if correction is None else correction",
        "less = correction or ddof",
        ("tests/frontend/tensor/test_functions.py",),
    ),
    # -------------------------------------------------------------------------------------- nn
    Fault(
        "nn",
        "batch_norm keeps the biased variance",
        "nets/nn/functional/normalization.py",
        "_move(running_var, variance * (count / (count - 1)), momentum)",
        "_move(running_var, variance, momentum)",
        ("tests/nn/test_modules.py", "tests/nn/test_formulas.py"),
    ),
    Fault(
        "nn",
        "the mean of a loss counts what is ignored",
        "nets/nn/functional/loss.py",
        "return nets.sum(counted) / nets.sum(nets.where(ignored, 0, of_each))",
        "return nets.sum(counted) / nets.sum(of_each)",
        ("tests/nn/test_formulas.py",),
    ),
    Fault(
        "nn",
        "a padding_idx from the end gets gradients",
        "nets/nn/functional/linear.py",
        "return padding_idx % count",
        "return padding_idx",
        ("tests/nn/test_formulas.py",),
    ),
    Fault(
        "nn",
        "clip_grad_norm_ makes small gradients larger",
        "nets/nn/utils/gradients.py",
        "factor = nets.minimum(max_norm / (total + 1e-6), 1.0)",
        "factor = nets.as_tensor(max_norm / (total + 1e-6))",
        ("tests/nn/test_formulas.py",),
    ),
    Fault(
        "nn",
        "with ceil_mode a window may begin behind the image",
        "nets/nn/functional/pooling.py",
        "if last * step >= size + padding:",
        "if last * step > size + padding:",
        ("tests/nn/test_formulas.py",),
    ),
    # ----------------------------------------------------------------------------------- optim
    Fault(
        "optim",
        "Adam corrects the mean square for one step more",
        "nets/optim/adaptive.py",
        "correction = same_dtype(nets.sqrt(1 - beta2**step), p)",
        "correction = same_dtype(nets.sqrt(1 - beta2 ** (step + 1)), p)",
        ("tests/optim/test_updates_by_hand.py",),
    ),
    Fault(
        "optim",
        "Adagrad decays the rate of the first step",
        "nets/optim/adaptive.py",
        '(1 + (step - 1) * group.static("lr_decay"))',
        '(1 + step * group.static("lr_decay"))',
        ("tests/optim/test_updates_by_hand.py",),
    ),
    Fault(
        "optim",
        "ReduceLROnPlateau waits one step less",
        "nets/optim/schedule.py",
        "if self.num_bad_epochs > self.patience:",
        "if self.num_bad_epochs >= self.patience:",
        ("tests/optim/test_optimizers.py",),
    ),
    # -------------------------------------------------------------------- data, solver, random
    Fault(
        "data and solver",
        "a loader counts a batch when the next one is asked for",
        "nets/data/loader.py",
        "                self.position += 1\n                yield _tensors(batch)",
        "                yield _tensors(batch)\n                self.position += 1",
        ("tests/data/test_data.py",),
    ),
    Fault(
        "data and solver",
        "evaluate leaves a model in training mode",
        "nets/solver.py",
        "            self.model.train(was_training)\n        return {name",
        "            self.model.train()\n        return {name",
        ("tests/data/test_solver.py",),
    ),
    Fault(
        "random",
        "seeds that differ beyond 32 bits are one",
        "nets/random.py",
        "return nets.Tensor([(number >> 32) & _WORD, number & _WORD]",
        "return nets.Tensor([0, number & _WORD]",
        ("tests/nn/test_random.py",),
    ),
    *COMPILER_FAULTS,
)


def plant(fault: Fault, copy: Path) -> None:
    """Plant the fault in a copy of the repository, and build what is in C."""
    path = copy / fault.file
    text = path.read_text()
    count = text.count(fault.right)
    if count != 1:
        raise SystemExit(f"{fault.name}: its text stands {count} times in {fault.file}")
    path.write_text(text.replace(fault.right, fault.wrong))
    if fault.file.startswith("runtime/"):
        (_build_dispatch if "/python/" in fault.file else _build_runtime)(copy)
        # One that cannot be loaded would have every test fail, and the fault not be found at all.
        both = "import nets._dispatch, nets._runtime"
        subprocess.run([sys.executable, "-c", both], cwd=copy, check=True)


def _build_dispatch(copy: Path) -> None:
    import numpy as np

    (target,) = (copy / "nets").glob("_dispatch*.so")
    common = [copy / "runtime" / name for name in ("arena.c", "mode.c")]
    sources = [*common, *sorted((copy / "runtime/python").glob("*.c"))]
    _compile(target, sources, copy / "runtime", np.get_include())


def _build_runtime(copy: Path) -> None:
    generated = copy / "nets/_runtime.c"
    write = f"from runtime.build import ffi; ffi.emit_c_code({str(generated)!r})"
    subprocess.run([sys.executable, "-c", write], cwd=copy, check=True, capture_output=True)
    sources = [generated, *sorted((copy / "runtime").glob("*.c"))]
    (target,) = (copy / "nets").glob("_runtime*.so")
    _compile(target, sources, copy / "runtime")
    generated.unlink()


def _compile(target: Path, sources: list[Path], *include: Path | str) -> None:
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))))
    folders = [f"-I{folder}" for folder in (*include, sysconfig.get_paths()["include"])]
    flags = ["-shared", "-fPIC", "-std=c11", "-O2", "-fvisibility=hidden", "-pthread"]
    target.unlink()
    subprocess.run([compiler, *flags, *folders, *sources, "-o", target], check=True)


def run_tests(copy: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails, or how the run ended; None where all pass."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NETS_CACHE_DIR": str(copy / "build/objects"),
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        return "a run that does not end"
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    return found[1] if found else f"exit code {done.returncode}"


def copied(to: Path) -> Path:
    """A copy of the repository in that folder."""
    copy = to / "nets"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return copy


def found_by(fault: Fault, likely_alone: bool = False) -> str | None:
    """The test that finds the fault; None where it is missed."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = copied(Path(folder))
        plant(fault, copy)
        found = run_tests(copy, fault.tests)
        return run_tests(copy, ()) if found is None and not likely_alone else found


def failing_anyway(tests: set[str]) -> str | None:
    """The first of these tests that fails where nothing is planted."""
    named = sorted(test for test in tests if "::" in test)
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        return run_tests(copied(Path(folder)), tuple(named)) if named else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("end", type=int, nargs="?", default=len(FAULTS))
    parser.add_argument("--likely", action="store_true", help="run the likely tests alone")
    wanted = parser.parse_args()
    chosen = FAULTS[wanted.first : wanted.end]
    finders: list[str] = []
    for number, fault in enumerate(chosen, wanted.first):
        start = time.monotonic()
        found = found_by(fault, wanted.likely)
        finders += [] if found is None else [found]
        told = "MISSED" if found is None else f"found by {found}"
        taken = time.monotonic() - start
        print(f"{number} {fault.kind}: {fault.name}: {told} ({taken:.0f} s)", flush=True)
    anyway = failing_anyway(set(finders))
    if anyway is not None:
        print(f"{anyway} fails where nothing is planted")
    kinds = ", ".join(f"{kind} {n}" for kind, n in Counter(f.kind for f in chosen).items())
    print(f"{len(finders)} of {len(chosen)} planted faults found ({kinds})")
    sys.exit(anyway is not None or len(chosen) - len(finders) > MISSED_AT_MOST)


if __name__ == "__main__":
    main()
