"""Finds mistakes in manifests of MLJobs and AirflowInstances, and needs no cluster. A mistake is a
value that the API server or the operator would refuse, or a field that the CRDs don't have.

A manifest is checked against the models of :mod:`mljob_contract` and against the validation rules
of the CRDs. The CRDs are part of this package.
"""

from __future__ import annotations

from .objects import check, is_ours

__all__ = ["check", "is_ours"]
