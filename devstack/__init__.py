"""The development stack: every real part of the product on one machine, without a cluster and without docker.

`bootstrap` makes the Python environments and runs on a bare Python. Everything else runs inside
`.venv`: `python -m devstack up`, or `devstack.stack.Stack` in tests and benchmarks. This module
imports nothing, so that `bootstrap` runs before anything is installed.
"""
