"""Generate a dataset with any number of rows from 200 to 2,000,000, and publish the dataset.
A dataset with missing values, a wrong number of rows, or too few rows of a class is not published.

Rows are drawn at random from the rows of a dataset of scikit-learn. The rows that are kept for
predictions are not drawn (:mod:`mljob_examples.sources`). Each image of a digit is moved by at most
one pixel horizontally and vertically, and all rows get noise. Mapped tasks generate parts of the
dataset (shards) in parallel. Another task merges the shards into one Parquet file.

The dataset is published as a version with a card, which is a file that describes the version. The
card has the number of rows, the columns with their statistics, and the MLJob that made the dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, features, sources


class DatasetParams(BaseModel):
    """Params of the DAG ``generate_dataset``. An MLJob sets these params in ``spec.conf``."""

    dataset: str = Field("digits", pattern=artifacts.NAME, description="Name under which other DAGs find the dataset.")
    source: sources.Source = Field("digits", description="Dataset of scikit-learn to augment.")
    rows: int = Field(20_000, ge=200, le=2_000_000, description="Rows of the dataset.")
    shards: int = Field(4, ge=1, le=64, description="Shards that are generated in parallel.")
    noise: float = Field(
        sources.NOISE, ge=0, le=1, description="Noise, as a share of each column's standard deviation."
    )
    seed: int = Field(7, description="The same seed gives the same dataset.")


class DatasetOutputs(BaseModel):
    """Outputs of a run of ``generate_dataset``, which describe the published dataset."""

    dataset: str = Field(description="Name of the dataset, for enrich_dataset.")
    dataset_version: str = Field(description="Version of the dataset, which is now the latest.")
    dataset_path: str = Field(description="File of the dataset. The card is in the same folder.")
    rows: int = Field(description="Number of rows.")
    features: int = Field(description="Number of columns without label and origin.")
    classes: int = Field(description="Number of labels.")


with mljob_dag(
    "generate_dataset",
    type=JobType.DATASET_GENERATION,
    params=DatasetParams,
    outputs=DatasetOutputs,
    owner="ml-platform",
    description="Grows a dataset that scikit-learn ships to any number of rows",
    doc_md=__doc__,
    tags=["example"],
) as job:

    @task
    def plan() -> list[dict[str, int]]:
        """Divide the rows among the shards, and return the arguments of the tasks that generate the
        shards. Each shard has its own seed, so that shards differ.
        """
        params = job.params()
        rows, shards = params.rows, params.shards
        return [
            {"shard": shard, "rows": rows // shards + (shard < rows % shards), "seed": params.seed * 1000 + shard}
            for shard in range(shards)
        ]

    @task
    def generate(shard: int, rows: int, seed: int) -> str:
        """Write a shard to a file, and return the file's path."""
        import numpy as np
        import pandas as pd

        params = job.params()
        known = sources.known(params.source)
        random = np.random.default_rng(seed)
        spread = known.data.std(axis=0) * params.noise

        made, origins = [], []
        chunk = 1000
        for start in range(0, rows, chunk):
            picked = random.integers(len(known.data), size=min(chunk, rows - start))
            sample = known.data[picked]
            if params.source == "digits":
                sample = sources.moved(sample, random)
            made.append(sample + random.normal(size=sample.shape) * spread)
            origins.append(picked)
            done = start + len(picked)
            report(progress=done / rows, metrics={"rows_written": done})

        frame = pd.DataFrame(np.concatenate(made), columns=known.names)
        picked = np.concatenate(origins)
        frame[features.LABEL] = known.target[picked]
        frame[features.ORIGIN] = known.origin[picked]
        path = artifacts.run_dir() / f"shard-{shard:03}.parquet"
        frame.to_parquet(path, index=False)
        return str(path)

    @task
    def merge(shards: list[str]) -> str:
        """Merge the shards in their order into one file, and return the file's path."""
        import pandas as pd

        paths = [Path(path) for path in shards]
        merged = paths[0].parent / "dataset.parquet"
        pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True).to_parquet(merged, index=False)
        return str(merged)

    @task
    def check(path: str) -> dict[str, Any]:
        """Refuse a dataset with missing values, a wrong number of rows, or too few rows of a class.
        Return the numbers of rows, features and classes.
        """
        import pandas as pd

        params = job.params()
        frame = pd.read_parquet(path)
        shares = frame[features.LABEL].value_counts(normalize=True)
        if frame.isna().any().any():
            raise ValueError("the dataset has missing values")
        if len(frame) != params.rows:
            raise ValueError(f"the dataset has {len(frame)} rows instead of {params.rows}")
        if shares.min() < 0.2 / len(shares):
            raise ValueError(f"class {shares.idxmin()} has only {shares.min():.1%} of the rows")
        return {"rows": len(frame), "features": frame.shape[1] - 2, "classes": len(shares)}

    @task
    def publish(path: str, facts: dict[str, Any]) -> None:
        """Publish the dataset as a version."""
        import pandas as pd

        params = job.params()
        dataset = artifacts.publish(
            "datasets",
            params.dataset,
            {"dataset.parquet": Path(path)},
            source={"scikit-learn": params.source, "noise": params.noise, "seed": params.seed},
            **facts,
            inputs=facts["features"],
            columns=artifacts.describe_columns(pd.read_parquet(path)),
        )
        job.publish(
            dataset=dataset.name,
            dataset_version=dataset.version,
            dataset_path=dataset.file("dataset.parquet"),
            **facts,
        )

    merged = merge(generate.expand_kwargs(plan()))
    publish(merged, check(merged))
