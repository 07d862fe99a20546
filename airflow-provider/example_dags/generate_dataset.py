"""Generate a dataset with 200 to 2,000,000 rows from a dataset of scikit-learn, and publish the new
dataset.

To make a new row, the DAG picks a random row of scikit-learn's dataset and adds noise. Images of
digits are also moved by at most one pixel horizontally and vertically. Rows that are kept for
predictions are not used (:mod:`mljob_examples.sources`).

Mapped tasks generate parts of the dataset (shards) in parallel. Another task merges the shards into
one Parquet file. The run fails if values are missing, the number of rows is wrong, or a class has
less than a fifth of an equal share of the rows.

The file ``card.json`` of the published version has the number of rows, statistics of the columns,
and the id of the DAG run. If the run belongs to an MLJob, the file also has the MLJob's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, features, sources


class DatasetParams(BaseModel):
    """Params of the DAG ``generate_dataset``."""

    dataset: str = Field("digits", pattern=artifacts.NAME, description="Name under which other DAGs find the dataset.")
    source: sources.Source = Field("digits", description="Dataset of scikit-learn to augment.")
    rows: int = Field(20_000, ge=200, le=2_000_000, description="Rows of the dataset.")
    shards: int = Field(4, ge=1, le=64, description="Shards that are generated in parallel.")
    noise: float = Field(
        sources.NOISE, ge=0, le=1, description="Noise, as a share of each column's standard deviation."
    )
    seed: int = Field(7, description="The same seed gives the same dataset.")


class DatasetOutputs(BaseModel):
    """Outputs of a run of ``generate_dataset``."""

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
        """Return the arguments of ``generate`` for each shard. Each shard has its own seed."""
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
        """Merge the shards into one file, and return the file's path."""
        import pandas as pd

        paths = [Path(path) for path in shards]
        merged = paths[0].parent / "dataset.parquet"
        pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True).to_parquet(merged, index=False)
        return str(merged)

    @task
    def check(path: str) -> dict[str, Any]:
        """Raise ``ValueError`` if values are missing, the number of rows is wrong, or a class has
        too few rows. Return the numbers of rows, features and classes.
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
        """Publish the dataset, and the outputs of the run."""
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
