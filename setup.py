"""Builds the two extensions in C with the package; everything else stands in pyproject.toml.

nets installs without them, too: then programs run on the reference interpreter. So one that cannot
be built is left out with a line that says why, unless NETS_REQUIRE_C=1 makes it an error, as `make`
does.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from glob import glob
from pathlib import Path
from typing import Any

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

IS_REQUIRED = os.environ.get("NETS_REQUIRE_C", "") == "1"


class BuildWhatCanBe(build_ext):
    """Leaves out extensions that cannot be built, and says what is missing."""

    def build_extensions(self) -> None:
        for extension in self.extensions:
            extension.optional = not IS_REQUIRED
        super().build_extensions()

    def build_extension(self, ext: Any) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            print(f"nets: {ext.name} is not built: {self._missing()}", file=sys.stderr)
            raise

    def _missing(self) -> str:
        words = getattr(self.compiler, "compiler", None)
        if words and shutil.which(words[0]) is None:
            return f"there is no C compiler ({words[0]})"
        if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
            return "the headers of Python (Python.h) are not installed"
        return "the C compiler failed; what it says stands above"


dispatch = Extension(
    "nets._dispatch",
    sources=["runtime/arena.c", "runtime/mode.c", *sorted(glob("runtime/python/*.c"))],
    depends=["runtime/python/dispatch.h", "runtime/nets_runtime.h"],
    include_dirs=["runtime", numpy.get_include()],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
)

try:
    import cffi  # noqa: F401
except ImportError:
    if IS_REQUIRED:
        raise
    print("nets: nets._runtime is not built: cffi is not installed", file=sys.stderr)
    generated = {}
else:
    generated = {"cffi_modules": ["runtime/build.py:ffi"]}

setup(ext_modules=[dispatch], cmdclass={"build_ext": BuildWhatCanBe}, **generated)
