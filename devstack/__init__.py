"""The development stack: every real part of the product on one machine, without a cluster and without docker.

`bootstrap` makes the Python environments and runs on a bare Python; everything else runs inside `.venv`:
`python -m devstack up`, or `devstack.stack.Stack` from tests and benchmarks. Nothing is imported here, so that
`bootstrap` can be run before there is anything to import.
"""
