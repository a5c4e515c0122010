"""Ship a filter to C: trace, export, compile a C program against the header, run it.

The library has no Python in it, allocates nothing and needs libc alone. ``filter.c`` feeds it a
tone with noise. Run with ``python examples/export_filter.py [folder]``; needs a C compiler.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import nets

SAMPLES, TAPS = 4096, 63


def low_pass(signal, cutoff):
    """The signal below the cutoff (in cycles per sample), by a windowed-sinc filter."""
    away = np.arange(TAPS) - TAPS // 2
    window = np.hamming(TAPS).astype("float32")
    safe = np.where(away == 0, 1, away).astype("float32")
    sinc = nets.where(away == 0, 2 * cutoff, nets.sin(2 * np.pi * cutoff * safe) / (np.pi * safe))
    weights = window * sinc
    weights = weights / weights.sum()
    around = nets.pad(signal, TAPS // 2)
    return sum(weights[i] * around[i : i + SAMPLES] for i in range(TAPS))


def main(folder):
    lowered = nets.trace(low_pass).lower(nets.spec(f"f32[{SAMPLES}]"), nets.spec("f32"))
    exported = nets.export(folder / "filter", low_pass=lowered)
    for path in exported.files:
        print(f"wrote {path.name} ({path.stat().st_size / 1024:.0f} KB)")

    program = folder / "filter_c"
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    source = Path(__file__).with_name("filter.c")
    command = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{folder}"]
    command += [f"-DSAMPLES={SAMPLES}", source, folder / "filter.a", "-lm", "-o", program]
    subprocess.run(command, check=True)
    print(subprocess.run([program], check=True, capture_output=True, text=True).stdout, end="")

    library = nets.load(folder / "filter.so")
    noise = np.random.default_rng(0).normal(size=SAMPLES).astype("float32")
    same = np.array_equal(library.low_pass(noise, 0.05), nets.trace(low_pass)(noise, 0.05).numpy())
    print(f"Python, traced and loaded: {'the same bits' if same else 'OTHER BITS'}")


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "build/filter").resolve()
    where.mkdir(parents=True, exist_ok=True)
    main(where)
