"""Finds mistakes in manifests of MLJobs and AirflowInstances, without a cluster.

A manifest is checked against the models of :mod:`mljob_contract` and against the copies of the CRDs
in the folder ``crds`` of this package.
"""

from __future__ import annotations

from .objects import check, is_ours

__all__ = ["check", "is_ours"]
