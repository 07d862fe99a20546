"""The development stack: the operator, a Kubernetes API server, Airflow and Kafka, as processes on
one machine, without a cluster and without Docker. None of them is simulated, unless a caller asks
for the simulated Airflow.

The module `bootstrap` makes the Python environments. `bootstrap` and the modules that `bootstrap`
imports need only Python's standard library, and this `__init__` imports nothing. So `bootstrap`
runs before any package is installed.

In the environment `.venv`, people run `python -m devstack up`, and tests and benchmarks use
`devstack.stack.Stack`.
"""
