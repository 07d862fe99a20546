"""The kinds of ML work there are. In a module of its own, since DAG files name them too: the rest of the API takes 50 ms to import."""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """What kind of ML work the job does. Backfill makes the runs of a range of a DAG's schedule; the others are for people and dashboards."""

    TRAINING = "Training"
    DATASET_GENERATION = "DatasetGeneration"
    ENRICHMENT = "Enrichment"
    PREDICTION = "Prediction"
    INFERENCE = "Inference"
    BACKFILL = "Backfill"
    CUSTOM = "Custom"
