"""The kinds of ML work. DAG files import this module. The import of :mod:`mljob_contract.mljob`
takes 50 ms, so the kinds have a separate module.
"""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """The kind of ML work that an MLJob does. Backfill runs a DAG for a range of its schedule. All
    other kinds run the DAG once. The operator treats these other kinds alike: they only serve as
    filters and on dashboards.
    """

    TRAINING = "Training"
    DATASET_GENERATION = "DatasetGeneration"
    ENRICHMENT = "Enrichment"
    PREDICTION = "Prediction"
    INFERENCE = "Inference"
    BACKFILL = "Backfill"
    CUSTOM = "Custom"
