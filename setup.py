"""Builds the C runtime with the package; everything else stands in pyproject.toml."""

from setuptools import setup

setup(cffi_modules=["runtime/build.py:ffi"])
