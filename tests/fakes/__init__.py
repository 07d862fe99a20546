"""Fakes of Airflow and the Kubernetes API for unit tests.

``tests/contract`` runs the same tests on the fakes of Airflow and of the Kubernetes API, and on the
real systems.

The fakes can also show faults that the real parts don't show on demand: a lost answer to a request
that took effect, or a write that another writer overtakes.
"""
