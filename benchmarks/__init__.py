"""Benchmarks: each a module that compares side by side in one run; `python -m benchmarks` runs them."""

import inference  # noqa: F401 - before onnxruntime: it keeps it silent
