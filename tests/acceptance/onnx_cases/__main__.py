"""ONNX's own node cases, run through nets: ``python -m tests.acceptance.onnx_cases``.

This is no part of the normal tests: it takes the package ``onnx``. Each case is computed by nets
eagerly and compiled, and compared with what it expects in the way of ONNX's own runner. What an
operator is in nets stands in the table of the files beside this one.

    python -m tests.acceptance.onnx_cases                  # all cases, a summary at the end
    python -m tests.acceptance.onnx_cases Resize test_gru  # an operator, a beginning
    python -m tests.acceptance.onnx_cases --eager          # do not compile
    python -m tests.acceptance.onnx_cases --expanded       # with functions written out
    python -m tests.acceptance.onnx_cases --part 0/2       # every second case, for two processes
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from typing import Any

from tests.acceptance.onnx_cases import (  # noqa: F401 (they enter operators)
    attention,
    control,
    elementwise,
    images,
    learning,
    logic,
    normalization,
    picking,
    quantized,
    recurrent,
    reductions,
    resize,
    sampling,
    shapes,
    signals,
    trees,
)
from tests.acceptance.onnx_cases.cases import (
    WORDS,
    is_expanded,
    load,
    operators,
    out_of_reach,
    run,
)


def main() -> None:
    options = _options()
    cases = [c for c in load() if is_expanded(c) == options.expanded]
    print(f"{len(cases)} cases{', functions written out' if options.expanded else ''}")
    beyond = Counter(out_of_reach(case) for case in cases)
    within = [case for case in cases if not out_of_reach(case)]
    print(f"{len(cases) - len(within)} out of reach:", _listed(beyond))
    part, parts = map(int, options.part.split("/"))
    chosen = [case for case in within if _is_meant(case, options.names)][part::parts]
    table: dict[str, Counter[str]] = defaultdict(Counter)
    lacking: Counter[str] = Counter()
    start = time.monotonic()
    for case in chosen:
        outcome = run(case, traced=not options.eager)
        table[operators(case)][outcome.word] += 1
        if outcome.word == "LACKS":
            lacking[outcome.note] += 1
        if outcome.word not in ("PASSED", "SIZED"):
            print(f"{outcome.word:6} {case.name} ({operators(case)}): {outcome.note}", flush=True)
    _report(table, time.monotonic() - start)
    print(
        "lacking:", "; ".join(f"{note} ({n})" for note, n in sorted(lacking.items())) or "nothing"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--expanded", action="store_true")
    parser.add_argument("--part", default="0/1")
    return parser.parse_args()


def _is_meant(case: Any, names: list[str]) -> bool:
    return not names or any(name == operators(case) or case.name.startswith(name) for name in names)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {what}" for what, n in counts.most_common() if what)


def _report(table: dict[str, Counter[str]], seconds: float) -> None:
    print(f"\n{'operator':30}" + "".join(f"{word:>8}" for word in WORDS))
    for name, counts in sorted(table.items()):
        print(f"{name[:30]:30}" + "".join(f"{counts[word] or '':>8}" for word in WORDS))
    total = sum(table.values(), Counter())
    print(f"{'all':30}" + "".join(f"{total[word]:>8}" for word in WORDS))
    passed = total["PASSED"] + total["SIZED"]
    print(f"{sum(total.values())} cases, {passed} passed, in {seconds:.0f} s")
    print("; ".join(f"{word}: {meaning}" for word, meaning in WORDS.items()))


if __name__ == "__main__":
    main()
