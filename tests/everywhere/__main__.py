"""Everywhere: programs whose results are one hash on every CPU, in Python and in C.

``hashes.txt`` holds, of each program, the hash of its results in each profile of numerics
(docs/numerics.md): a file that only another number of the contract may change. NETS_NUMERICS
chooses the profile.

    python -m tests.everywhere                     compares the code of this process with it
    NETS_CPU=x86-64-v2 python -m tests.everywhere  the code of another level
    python -m tests.everywhere --c FOLDER          writes a library for all levels of x86-64, and a
                                                   C program that calls it, builds and runs that
    python -m tests.everywhere --c FOLDER --run 'qemu-x86_64 -cpu Nehalem'
    python -m tests.everywhere --bless             writes the hashes of today's code
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nets import config
from tests.everywhere import c_program
from tests.everywhere.programs import hashes_in_process, programs

FILE: Final = Path(__file__).with_name("hashes.txt")


def kept(profile: str | None = None) -> dict[str, str]:
    """What ``hashes.txt`` says of a profile, by default that of NETS_NUMERICS."""
    column = config.PROFILES.index(profile or config.NUMERICS.get())
    return {name: hashes[column] for name, *hashes in map(str.split, _lines())}


def _lines() -> list[str]:
    return FILE.read_text(encoding="utf-8").splitlines() if FILE.exists() else []


def keep(found: Mapping[str, str]) -> None:
    """Write the hashes of the profile of NETS_NUMERICS."""
    column = config.PROFILES.index(config.NUMERICS.get())
    known = {name: hashes for name, *hashes in map(str.split, _lines())}
    for name, hash in found.items():
        hashes = (known.get(name, []) + ["?"] * len(config.PROFILES))[: len(config.PROFILES)]
        known[name] = [*hashes[:column], hash, *hashes[column + 1 :]]
    FILE.write_text("".join(f"{name} {' '.join(known[name])}\n" for name in found))


def in_process(names: list[str] | None = None) -> dict[str, str]:
    """The hashes of all programs, or some, by the code of this process."""
    wanted = {name: p for name, p in programs().items() if names is None or name in names}
    return {name: f"{found:016x}" for name, found in hashes_in_process(wanted).items()}


def in_c(folder: Path, command: list[str], cpu: str | None) -> dict[str, str]:
    """The hashes of all programs by a C program."""
    source = c_program.write(folder, programs(), cpu=cpu)
    return c_program.printed([*command, c_program.compiled(source)])


def differences(found: Mapping[str, str]) -> list[str]:
    """A line for each program with another hash than it is to have."""
    wanted = kept()
    names = sorted(found.keys() | wanted.keys())
    return [
        f"{name}: {found.get(name, 'nothing')}, not {wanted.get(name, 'anything')}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.everywhere", description=__doc__)
    parser.add_argument("--bless", action="store_true", help="write the hashes of today's code")
    parser.add_argument("--c", metavar="FOLDER", type=Path, help="by a C program, made in FOLDER")
    parser.add_argument("--cpu", help="what the library of the C program is for; default: all")
    parser.add_argument("--run", default="", metavar="COMMAND", help="what runs the C program")
    given = parser.parse_args()
    if given.c is not None:
        given.c.mkdir(parents=True, exist_ok=True)
        found = in_c(given.c, shlex.split(given.run), given.cpu)
    else:
        found = in_process()
    if given.bless:
        keep(found)
    wrong = differences(found)
    print("\n".join([*wrong, f"{len(found)} programs, {len(wrong)} have another hash"]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
