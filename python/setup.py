"""What pyproject.toml cannot say: the extension that holds libblindbox, and the licence in a form all versions read."""

from setuptools import setup

setup(cffi_modules=["native_build.py:builder"], license="Apache-2.0")
