"""Builds the C runtime with the package; everything else stands in pyproject.toml."""

from glob import glob

import numpy
from setuptools import Extension, setup

dispatch = Extension(
    "nets._dispatch",
    sources=["runtime/arena.c", "runtime/mode.c", *sorted(glob("runtime/python/*.c"))],
    depends=["runtime/python/dispatch.h", "runtime/nets_runtime.h"],
    include_dirs=["runtime", numpy.get_include()],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    # Without it calls take the Python road, with the same results.
    optional=True,
)

setup(cffi_modules=["runtime/build.py:ffi"], ext_modules=[dispatch])
