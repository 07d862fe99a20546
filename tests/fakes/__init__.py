"""Fakes of Airflow and the Kubernetes API for unit tests.

``tests/contract`` runs the same tests on the fakes and on the real systems.

The fakes can also show faults that the real systems don't show on demand: an answer that is lost
although the request took effect, or a write that fails because another client has just changed the
object.
"""
