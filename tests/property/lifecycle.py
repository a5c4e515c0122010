"""The hunt for state that goes wrong: ``python -m tests.property.lifecycle 0 2000 --jobs 2``.

Each seed is a stateful Python program of a few kinds of statements (``--kinds`` lists them). It is
run plainly, traced on the reference interpreter, traced to native code (every ``--native``-th seed)
and, where nothing changes it from outside, exported; results, holders and gradients are compared
after each call. ``--shrink`` makes failing programs smaller, ``--show SEED`` prints one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from tests.property.stateful import KINDS, random_program
from tests.property.stateful.program import Program
from tests.property.stateful.shrink import shrunk
from tests.property.stateful.verdict import Verdict, verdict

NATIVE = 8
"""Of so many programs one is compiled to native code; compiling takes most of the time then."""


@dataclass(frozen=True)
class Choice:
    """Which programs are made of the seeds, and how they are run."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    native: int = NATIVE
    shrink: bool = False
    size: int | None = None
    """Kinds of a program; by default a few."""

    def program(self, seed: int) -> Program:
        return random_program(seed, self.only, self.without, self.size)

    def verdict(self, seed: int, program: Program) -> Verdict:
        is_native = self.native > 0 and seed % self.native == 0
        return verdict(program, is_native, is_native)


@dataclass(frozen=True)
class Found:
    """A seed and what became of its program, a failing one perhaps made smaller."""

    program: Program
    verdict: Verdict

    def __str__(self) -> str:
        found = self.verdict
        title = f"seed {self.program.seed}: {found.what}, {found.mode}: {found.reason}"
        return f"{title}\n{self.program.script()}"


def examine(seed: int, choice: Choice) -> Found:
    """Run the program of the seed."""
    program = choice.program(seed)
    try:
        found = choice.verdict(seed, program)
    except Exception:
        return Found(program, Verdict("invalid", "harness", traceback.format_exc(limit=-3)))
    if choice.shrink and found.what == "wrong":
        program, found = shrunk(program, found, partial(choice.verdict, seed))
    return Found(program, found)


def hunt(seeds: Iterable[int], choice: Choice = Choice(), jobs: int = 1) -> list[Found]:
    """What became of the programs of the seeds, in order."""
    run = partial(examine, choice=choice)
    if jobs == 1:
        return [run(seed) for seed in seeds]
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        return pool.map(run, seeds, chunksize=16)


# ------------------------------------------------------------------------------- the report


def report(found: Sequence[Found], seconds: float) -> str:
    """Counts by reason and kind, then by outcome."""
    counts = Counter(one.verdict.what for one in found)
    outcomes = ", ".join(
        f"{what} {counts[what]}" for what in ("same", "refused", "wrong", "invalid")
    )
    lines: list[str] = []
    for what in ("invalid", "refused", "wrong"):
        chosen = [one for one in found if one.verdict.what == what]
        if chosen:
            lines += [f"\n{what}: {[one.program.seed for one in chosen]}"]
            reasons = Counter(f"{one.verdict.mode}: {one.verdict.sort}" for one in chosen)
            lines += [f"  {count:5} {reason}" for reason, count in reasons.most_common(25)]
    last = f"\n{len(found)} programs in {seconds:.1f} s: {outcomes}"
    return "\n".join([*lines, "", *_by_kind(found), last])


def _by_kind(found: Sequence[Found]) -> list[str]:
    rows: dict[str, Counter[str]] = {}
    for one in found:
        for kind in one.program.kinds:
            rows.setdefault(kind, Counter())[one.verdict.what] += 1
    columns = ("same", "refused", "wrong", "invalid")
    table = [f"{'kind':36}" + "".join(f"{column:>9}" for column in columns)]
    order = sorted(rows, key=lambda kind: -rows[kind]["wrong"] / rows[kind].total())
    return table + [
        f"{kind:36}" + "".join(f"{rows[kind][column]:9}" for column in columns) for kind in order
    ]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int, nargs="?", default=0)
    parser.add_argument("end", type=int, nargs="?", default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=_words, default=(), help="kinds, separated by commas")
    parser.add_argument("--without", type=_words, default=())
    parser.add_argument("--native", type=int, default=NATIVE, help="every so many; 0: none")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--print", type=int, default=5, help="so many wrong programs")
    parser.add_argument("--show", type=int, help="print the program of a seed")
    parser.add_argument("--kinds", action="store_true", help="list the kinds")
    wanted = parser.parse_args()
    choice = Choice(wanted.only, wanted.without, wanted.native, wanted.shrink)
    if wanted.kinds:
        print("\n".join(f"{kind.weight:5} {name}" for name, kind in KINDS.items()))
        return
    if wanted.show is not None:
        print(choice.program(wanted.show).script())
        return
    start = time.perf_counter()
    found = hunt(range(wanted.first, wanted.end), choice, wanted.jobs)
    wrong = [one for one in found if one.verdict.what == "wrong"]
    for one in wrong[: wanted.print]:
        print(one, "\n")
    print(report(found, time.perf_counter() - start))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
