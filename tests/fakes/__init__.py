"""Fakes of Airflow and the Kubernetes API for unit tests.

``tests/contract`` runs the same tests on the fakes and on the real systems.

The fakes can also show faults that the real systems don't show on demand: a lost answer to a
request that took effect, or a write that another writer overtakes.
"""
