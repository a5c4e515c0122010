"""nets itself on AArch64, emulated: ``python -m tests.trust.aarch64``.

Makes a folder with Debian's Python for arm64 and the wheels of what nets needs, builds what is
written in C with a cross-compiler, and runs in it the tests of the runtime and the programs of
``tests.trust.hosted``, whose results must have the bits that they have here. Tests of the suite run
there too where they are named: ``--tests tests/frontend/calls``. ``--folder`` keeps the folder, so
that the next time begins where this one has ended.

It needs qemu-user, gcc-aarch64-linux-gnu, apt with a mirror of Debian, and a package index; where
one is missing it says so and stops. Nothing is installed on this machine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
RUNTIME: Final = ROOT / "runtime"

TOOLS: Final = ("qemu-aarch64", "aarch64-linux-gnu-gcc", "apt-get", "dpkg")

PACKAGES: Final = ("python3-minimal", "libpython3-stdlib", "libpython3-dev", "libstdc++6")
WHEELS: Final = ("numpy>=2.0", "llvmlite>=0.46", "cffi>=1.17", "pytest>=8", "hypothesis>=6.100")

GROUPS: Final = ("arena", "call", "pool", "code", "interrupt")
"""Tests of the runtime; not those of forks, for the emulator does not survive threads that start in
a forked child."""

OBJECTS: Final = {
    "whole": (),
    "whole-no-plt": ("-fno-plt",),
    "small": (),
    "foreign": (),
    "endless": (),
}
"""What they load, and how it is compiled."""


class MissingError(Exception):
    """What the check needs and cannot have."""


class Machine:
    """The emulated machine in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = folder / "system"
        self.site = folder / "site"
        self.nets = folder / "nets"

    def make(self) -> None:
        """MissingError where something cannot be had."""
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
        if missing:
            raise MissingError(f"there is no {', '.join(missing)}")
        if not (self.folder / "made").exists():
            self._unpack_debian()
            self._unpack_wheels()
            (self.folder / "made").touch()
        self._copy_nets()
        self._build()

    @property
    def version(self) -> str:
        """Of its Python."""
        (found,) = (self.system / "usr/bin").glob("python3.*[0-9]")
        return found.name.removeprefix("python")

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command of that machine."""
        own = {
            "PYTHONHOME": str(self.system / "usr"),
            "PYTHONPATH": os.pathsep.join(map(str, (self.nets, self.site))),
            "NETS_CACHE_DIR": str(self.folder / "cache"),
            "NETS_NUM_THREADS": "2",
            "CC": f"aarch64-linux-gnu-gcc --sysroot={self.system}",
        }
        return subprocess.run(
            ["qemu-aarch64", "-L", self.system, *command],
            capture_output=True,
            text=True,
            cwd=self.nets,
            env={**os.environ, **own, **environment},
            check=False,
        )

    def python(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        python = self.system / "usr/bin" / f"python{self.version}"
        return self.run(python, *arguments, **environment)

    def compiler(self, *arguments: str | Path) -> None:
        """Run the cross-compiler on sources of the runtime."""
        command = ("aarch64-linux-gnu-gcc", f"--sysroot={self.system}", "-std=c11", "-O2")
        done("the cross-compiler", *command, "-fPIC", f"-I{RUNTIME}", *arguments)

    def _unpack_debian(self) -> None:
        settings = self._apt_settings()
        done("a mirror of Debian", "apt-get", "update", APT_CONFIG=settings)
        wanted = ("install", "--simulate", "--no-install-recommends", *PACKAGES)
        plan = done("Debian's Python for arm64", "apt-get", *wanted, APT_CONFIG=settings)
        names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
        packages = self.folder / "packages"
        packages.mkdir(exist_ok=True)
        done("packages", "apt-get", "download", *names, APT_CONFIG=settings, cwd=packages)
        for package in packages.glob("*.deb"):
            done("dpkg", "dpkg", "--extract", package, self.system)
        if not (self.system / "lib").exists():  # where packages leave that to the installation
            (self.system / "lib").symlink_to("usr/lib")

    def _apt_settings(self) -> str:
        """A file of settings by which apt does not touch this machine's state."""
        state = self.folder / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        lines = (
            'APT::Architecture "arm64"',
            'APT::Architectures { "arm64"; }',
            'APT::Sandbox::User "root"',
            f'Dir::State "{state}"',
            f'Dir::State::status "{state / "status"}"',
            f'Dir::Cache "{state / "cache"}"',
        )
        settings = state / "settings"
        settings.write_text("".join(f"{line};\n" for line in lines))
        return str(settings)

    def _unpack_wheels(self) -> None:
        platforms = [f"--platform=manylinux{name}_aarch64" for name in ("2014", "_2_27", "_2_28")]
        options = (*platforms, f"--python-version={self.version}", "--only-binary=:all:")
        command = (sys.executable, "-m", "pip", "install", "--quiet", f"--target={self.site}")
        done("wheels for AArch64", *command, *options, *WHEELS)

    def _copy_nets(self) -> None:
        shutil.rmtree(self.nets, ignore_errors=True)
        aside = shutil.ignore_patterns("*.so", "__pycache__")
        for name in ("nets", "tests", "runtime"):
            shutil.copytree(ROOT / name, self.nets / name, ignore=aside)
        shutil.copy(ROOT / "pyproject.toml", self.nets)

    def _build(self) -> None:
        generated = self.folder / "_runtime.c"
        emit = "import sys; from build import ffi; ffi.emit_c_code(sys.argv[1])"
        done("cffi", sys.executable, "-c", emit, generated, PYTHONPATH=str(RUNTIME))
        headers = f"-I{self.system}/usr/include/python{self.version}"
        shared = ("-shared", "-fvisibility=hidden", headers, "-pthread")
        whole = (generated, *sorted(RUNTIME.glob("*.c")))
        package = self.nets / "nets"
        self.compiler(*shared, *whole, "-o", package / "_runtime.abi3.so")
        numpy = f"-I{self.site / 'numpy/_core/include'}"
        part = [RUNTIME / "arena.c", RUNTIME / "mode.c", *sorted(RUNTIME.glob("python/*.c"))]
        self.compiler(*shared, numpy, *part, "-o", package / "_dispatch.so")

    def build_tests_of_runtime(self) -> Path:
        """The program of these tests, beside the objects it loads."""
        place = self.folder / "runtime"
        place.mkdir(exist_ok=True)
        tests = RUNTIME / "tests"
        self.compiler(*RUNTIME.glob("*.c"), *tests.glob("*.c"), "-pthread", "-o", place / "run")
        for name, flags in OBJECTS.items():
            source = tests / "objects" / f"{name.partition('-')[0]}.c"
            plain = ("-c", "-fno-stack-protector", *flags)
            self.compiler(*plain, source, "-o", place / f"{name}.o")
        return place / "run"


def done(what: str, *command: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """What a command of this machine prints. MissingError where it fails."""
    found = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )
    if found.returncode != 0:
        raise MissingError(f"{what}: {found.stderr.strip()[-2000:]}")
    return found.stdout


def wrong_groups(machine: Machine) -> list[str]:
    """The groups of the runtime's tests that fail."""
    run = machine.build_tests_of_runtime()
    wrong = []
    for group in GROUPS:
        folder = [run.parent] if group in ("code", "interrupt") else []
        found = machine.run(run, group, *folder)
        print(f"runtime, {group}: status {found.returncode}\n{found.stderr}", end="", flush=True)
        wrong += [group] if found.returncode or found.stderr else []
    return wrong


def wrong_programs(machine: Machine, seeds: Sequence[str]) -> tuple[int, list[str]]:
    """How many programs there are, and which have other bits there."""
    command = ("-m", "tests.trust.hosted", *seeds)
    found = machine.python(*command)
    print(found.stdout, found.stderr, sep="", flush=True)
    here = results(done("the programs here", sys.executable, *command, cwd=ROOT))
    there = results(found.stdout)
    return len(here), [name for name, bits in here.items() if there.get(name) != bits]


def results(text: str) -> Mapping[str, str]:
    return dict(line.split() for line in text.splitlines())


def wrong_tests(machine: Machine, tests: Sequence[str]) -> list[str]:
    """["tests"] where tests of the suite fail."""
    if not tests:
        return []
    found = machine.python("-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    print(found.stdout, found.stderr, sep="", flush=True)
    return ["tests"] if found.returncode else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="where the machine is made, and left")
    parser.add_argument("--programs", nargs=2, default=("0", "10"), metavar=("FIRST", "END"))
    parser.add_argument("--tests", nargs="*", default=())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nets-aarch64-") as aside:
        machine = Machine((arguments.folder or Path(aside)).resolve())
        machine.folder.mkdir(parents=True, exist_ok=True)
        try:
            machine.make()
        except MissingError as error:
            print(f"skipped: {error}")
            return
        groups = wrong_groups(machine)
        count, programs = wrong_programs(machine, arguments.programs)
        wrong = [*groups, *programs, *wrong_tests(machine, arguments.tests)]
    print(f"{len(GROUPS)} groups of the runtime, {count} programs; wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
