"""The kinds of ML work. DAG files import this module, so it is separate from the rest of the API,
whose import takes 50 ms.
"""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """The kind of ML work that an MLJob does. Backfill runs a DAG for a range of its schedule. The
    other kinds change nothing in what runs: they are for filters and dashboards.
    """

    TRAINING = "Training"
    DATASET_GENERATION = "DatasetGeneration"
    ENRICHMENT = "Enrichment"
    PREDICTION = "Prediction"
    INFERENCE = "Inference"
    BACKFILL = "Backfill"
    CUSTOM = "Custom"
