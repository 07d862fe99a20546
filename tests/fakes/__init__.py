"""Fakes of Airflow and the Kubernetes API for unit tests.

``tests/contract`` runs one suite on the fakes and on the real parts.

The fakes can also show faults that the real parts don't show on demand: a lost answer to a request
that took effect, or a write that another writer overtakes.
"""
