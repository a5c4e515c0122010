"""Measures the errors of the math library, for docs/numerics.md.

``python -m benchmarks.accuracy [functions]`` takes 10⁸ float64 (or pairs) for each function, random
bit patterns and uniform values where the function has its shape, and compares with NumPy's 80-bit
results. It takes every float32 for functions of one argument, and compares with the float64 form
of the same function, which by then is known to be good for 52 bits; for two arguments, 10⁸ pairs.
Prints the largest error and where it is, and fails where scalar and vector forms differ in a bit.
NETS_NUMERICS chooses the profile.
All of this for the forms of AVX2 and, on a machine that has it, for those of AVX-512.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator

import numpy as np

from nets import config
from nets.backend.llvm import math
from nets.backend.llvm.math.fused import with_functions
from nets.backend.llvm.target import host
from nets.ir.types import DType, f32, f64
from nets.machine.machine import Machine
from nets.machine.table import V3, V4
from nets.ops.definition.registry import Array
from tests.backend.kernels import MathKernel, compiled, math_text
from tests.backend.references import reference, ulps

CHUNK = 1 << 15
POINTS = 10**8

MACHINES = (V3, V4) if host().instruction_set == "avx512" else (V3,)
"""Whose forms to measure here."""

PROFILE = config.NUMERICS.get()

# Per lane: the largest error so far and its argument; and whether any bit ever differed.
_SWEEP = """
define void @sweep(i64 %start, i64 %end, ptr %worst, ptr %where, ptr %differs) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ %start, %entry ], [ %next, %loop ]
  %old = phi <{n} x double> [ splat (double -1.0), %entry ], [ %new, %loop ]
  %at = phi <{n} x i32> [ zeroinitializer, %entry ], [ %at_new, %loop ]
  %d = phi i32 [ 0, %entry ], [ %d_new, %loop ]
  %i32 = trunc i64 %i to i32
  %first = insertelement <{n} x i32> poison, i32 %i32, i64 0
  %all = shufflevector <{n} x i32> %first, <{n} x i32> poison, <{n} x i32> zeroinitializer
  %bits = add <{n} x i32> %all, <{numbers}>
  %x = bitcast <{n} x i32> %bits to <{n} x float>
  %y = call <{n} x float> @nets_{name}_f32x{n}(<{n} x float> %x)
  %x_wide = fpext <{n} x float> %x to <{n} x double>
  %ref = call <{n} x double> @nets_{name}_f64x{n}(<{n} x double> %x_wide)
  %y_wide = fpext <{n} x float> %y to <{n} x double>
  %difference = fsub <{n} x double> %y_wide, %ref
  %distance = call <{n} x double> @llvm.fabs.v{n}f64(<{n} x double> %difference)
  %ref_bits = bitcast <{n} x double> %ref to <{n} x i64>
  %exponent = and <{n} x i64> %ref_bits, splat (i64 {exponent})
  %binade = bitcast <{n} x i64> %exponent to <{n} x double>
  %tiny = fcmp olt <{n} x double> %binade, splat (double {normal})
  %scale = select <{n} x i1> %tiny, <{n} x double> splat (double {normal}), <{n} x double> %binade
  %relative = fdiv <{n} x double> %distance, %scale
  %ulps = fmul <{n} x double> %relative, splat (double {steps})
  ; Equal infinities, and NaN for NaN, are 0 apart; any other NaN is infinitely far.
  %rounded = fptrunc <{n} x double> %ref to <{n} x float>
  %same = fcmp oeq <{n} x float> %rounded, %y
  %y_huge = fcmp ueq <{n} x double> %distance, splat (double {infinity})
  %ends = and <{n} x i1> %same, %y_huge
  %y_nan = fcmp uno <{n} x float> %y, %y
  %ref_nan = fcmp uno <{n} x double> %ref, %ref
  %nans = and <{n} x i1> %y_nan, %ref_nan
  %right = or <{n} x i1> %ends, %nans
  %wrong = fcmp uno <{n} x double> %ulps, %ulps
  %e0 = select <{n} x i1> %wrong, <{n} x double> splat (double {infinity}), <{n} x double> %ulps
  %error = select <{n} x i1> %right, <{n} x double> zeroinitializer, <{n} x double> %e0
  %worse = fcmp ogt <{n} x double> %error, %old
  %new = select <{n} x i1> %worse, <{n} x double> %error, <{n} x double> %old
  %at_new = select <{n} x i1> %worse, <{n} x i32> %bits, <{n} x i32> %at
  %y_bits = bitcast <{n} x float> %y to <{n} x i32>
{scalars}  %next = add i64 %i, {n}
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %done
done:
  store <{n} x double> %new, ptr %worst, align 8
  store <{n} x i32> %at_new, ptr %where, align 4
  store i32 %d_new, ptr %differs, align 4
  ret void
}}
"""


def _scalars(name: str, lanes: int) -> str:
    """The scalar form on each lane, its differing bits gathered in %d_new."""
    lines, seen = [], "%d"
    for lane in range(lanes):
        new = "%d_new" if lane == lanes - 1 else f"%d{lane}"
        lines += [
            f"%x{lane} = extractelement <{lanes} x float> %x, i64 {lane}",
            f"%s{lane} = call float @nets_{name}_f32x1(float %x{lane})",
            f"%b{lane} = bitcast float %s{lane} to i32",
            f"%v{lane} = extractelement <{lanes} x i32> %y_bits, i64 {lane}",
            f"%u{lane} = xor i32 %b{lane}, %v{lane}",
            f"{new} = or i32 {seen}, %u{lane}",
        ]
        seen = new
    return "".join(f"  {line}\n" for line in lines)


def measure_every_float32(function: str, machine: Machine) -> None:
    lanes = machine.lanes(f32)
    forms = ((f32, lanes, machine), (f64, lanes, V3), (f32, 1, V3))
    texts = [math_text(function, *form) for form in forms]
    definitions = dict.fromkeys(part for text in texts for part in text.split("\n\n"))
    sweep = _SWEEP.format(
        name=function,
        n=lanes,
        numbers=", ".join(f"i32 {lane}" for lane in range(lanes)),
        scalars=_scalars(function, lanes),
        exponent=0x7FF << 52,
        normal=2.0**-126,
        steps=2.0**23,
        infinity="0x7FF0000000000000",
    )
    arguments = (ctypes.c_int64, ctypes.c_int64, *(ctypes.c_void_p,) * 3)
    text = with_functions("\n\n".join(definitions), machine, PROFILE)
    run = compiled(text + sweep, "sweep", *arguments)
    worst, where = np.empty(lanes), np.empty(lanes, np.uint32)
    differs = np.zeros(1, np.uint32)
    run(0, 1 << 32, worst.ctypes.data, where.ctypes.data, differs.ctypes.data)
    if differs[0]:
        sys.exit(f"{function} f32: scalar and {_name(machine)} forms differ")
    at = int(np.argmax(worst))
    points = f"every float32, {_name(machine)}"
    report(function, f32, float(worst[at]), repr(where.view(np.float32)[at]), points)


def _name(machine: Machine) -> str:
    return "AVX-512" if machine is V4 else "AVX2"


def random_points(function: str, dtype: DType) -> Iterator[tuple[Array, ...]]:
    """Half random bit patterns, half uniform over ranges of growing width."""
    generator = np.random.default_rng(1)
    count = math.FUNCTIONS[function]
    for i in range(-(-POINTS // CHUNK)):
        if i % 2:
            size = CHUNK * dtype.itemsize
            yield tuple(
                np.frombuffer(generator.bytes(size), dtype.numpy).copy() for _ in range(count)
            )
        else:
            width = 10.0 ** (i // 2 % 12 / 4)
            low = 0.0 if function in ("log", "log2", "log10", "pow", "rsqrt") else -width
            first = generator.uniform(low, width, CHUNK).astype(dtype.numpy)
            rest = generator.uniform(-40, 40, (count - 1, CHUNK)).astype(dtype.numpy)
            yield (first, *rest)


def measure(function: str, dtype: DType) -> None:
    vectors = [
        MathKernel(function, dtype, machine.lanes(dtype), machine, PROFILE) for machine in MACHINES
    ]
    scalar = MathKernel(function, dtype, 1, numerics=PROFILE)
    integer = np.uint32 if dtype == f32 else np.uint64
    worst, where = -1.0, ""
    for arguments in random_points(function, dtype):
        got = scalar(*arguments)
        for vector in vectors:
            if not np.array_equal(got.view(integer), vector(*arguments).view(integer)):
                sys.exit(f"{function} {dtype}: scalar and vector forms differ")
        error = ulps(got, reference(function, *arguments))
        at = int(np.argmax(error))
        if error[at] > worst:
            worst, where = float(error[at]), ", ".join(repr(x[at]) for x in arguments)
    report(function, dtype, worst, where, f"{POINTS:.0e} points")


def report(function: str, dtype: DType, worst: float, where: str, points: str) -> None:
    print(f"{function:8} {dtype}  {worst:.3f} ULP at {where}  ({points})", flush=True)


def main() -> None:
    for function in sys.argv[1:] or math.FUNCTIONS:
        measure(function, f64)
        if math.FUNCTIONS[function] == 1:
            for machine in MACHINES:
                measure_every_float32(function, machine)
        else:
            measure(function, f32)


if __name__ == "__main__":
    main()
