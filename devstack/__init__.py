"""The development stack: the operator with a real Kubernetes API, Airflow and Kafka as processes on
one machine, without a cluster and without docker.

`bootstrap` makes the Python environments, and needs only a Python without packages. Everything else
runs in `.venv`: people run `python -m devstack up`, and tests and benchmarks use
`devstack.stack.Stack`. This module imports nothing, so that `bootstrap` runs before any package is
installed.
"""
