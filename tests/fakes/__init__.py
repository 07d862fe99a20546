"""Fakes of Airflow and the Kubernetes API. ``tests/contract`` runs the same tests on the fakes and
on the real systems.

The fakes can also show rare faults, such as an answer that is lost although the request took
effect.
"""
