"""The development stack: the operator, a Kubernetes API server, Airflow and Kafka, as processes on
one machine, without a cluster and without Docker. None of them is simulated, unless a caller asks
for the simulated Airflow.

`bootstrap` makes the Python environments, with only Python's standard library. Everything else runs
in `.venv`: people run `python -m devstack up`, and tests and benchmarks use `devstack.stack.Stack`.
This module imports nothing, so that `bootstrap` runs before any package is installed.
"""
