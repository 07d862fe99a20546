"""The kinds of ML work. DAG files import this module. The module is separate from the MLJob
resource, because the import of the MLJob resource takes 50 ms.
"""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """The kind of ML work that an MLJob does. Backfill runs a DAG for a range of its schedule. All
    other kinds run the DAG once, and differ only for filters and dashboards.
    """

    TRAINING = "Training"
    DATASET_GENERATION = "DatasetGeneration"
    ENRICHMENT = "Enrichment"
    PREDICTION = "Prediction"
    INFERENCE = "Inference"
    BACKFILL = "Backfill"
    CUSTOM = "Custom"
