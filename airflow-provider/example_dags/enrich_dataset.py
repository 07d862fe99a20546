"""Add features to a dataset, and publish the result as a new dataset.

There are three families of features: principal components, distances to clusters, and statistics of
each row. Each instance of a mapped task group computes one family.

The file ``card.json`` of the new dataset names the version of the original dataset, and has the
settings of the features. The DAG ``select_model`` uses these settings to train models that compute
the features themselves. So these models get the inputs of the original dataset, without the added
features.

The DAG ``enrich_dataset`` waits until the original dataset exists, but at most 300 seconds by
default (param ``wait_seconds``). So an MLJob of ``enrich_dataset`` can be applied together with the
MLJob that generates the original dataset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import task, task_group
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, features
from mljob_examples.waiting import DatasetParams, wait_for_dataset


class EnrichParams(DatasetParams):
    """Params of the DAG ``enrich_dataset``."""

    families: list[features.Family] = Field(
        ["components", "clusters", "statistics"],
        min_length=1,
        json_schema_extra={"uniqueItems": True},
        description="Families of features to add.",
    )
    components: int = Field(8, ge=1, le=64, description="Principal components to add.")
    clusters: int = Field(10, ge=2, le=100, description="Clusters whose distances to add.")


class EnrichOutputs(BaseModel):
    """Outputs of a run of ``enrich_dataset``."""

    dataset: str = Field(description="Name of the enriched dataset: the name of the dataset with the suffix -enriched.")
    dataset_version: str = Field(description="Version of the enriched dataset, which is now the latest.")
    dataset_path: str = Field(description="File of the enriched dataset. The card is in the same folder.")
    parent_version: str = Field(description="Version of the dataset that it was made from.")
    rows: int = Field(description="Number of rows.")
    added_features: int = Field(description="Number of columns that were added.")


with mljob_dag(
    "enrich_dataset",
    type=JobType.ENRICHMENT,
    params=EnrichParams,
    outputs=EnrichOutputs,
    owner="ml-platform",
    description="Adds features to a dataset: components, clusters, statistics",
    doc_md=__doc__,
    tags=["example"],
) as job:

    @task
    def choose_families() -> list[str]:
        """Return the families that the run's params name."""
        return list(job.params().families)

    @task_group
    def family(name: features.Family, version: str) -> Any:
        """Compute and check the features of a family."""

        @task
        def compute(name: features.Family, version: str) -> str:
            """Write the family's features to a file, and return the file's path."""
            import pandas as pd

            params = job.params()
            dataset = artifacts.find("datasets", params.dataset, version)
            table = pd.read_parquet(dataset.file("dataset.parquet"))
            inputs = table.iloc[:, : dataset.card["inputs"]].to_numpy()
            components = min(params.components, inputs.shape[1])
            added = features.family(name, components=components, clusters=params.clusters).fit_transform(inputs)
            frame = pd.DataFrame(added, columns=features.columns(name, added.shape[1]))
            report(progress=0.9, metrics={"rows_written": len(frame), "features": frame.shape[1]})
            path = artifacts.run_dir() / f"{name}.parquet"
            frame.to_parquet(path, index=False)
            return str(path)

        @task
        def check(path: str) -> str:
            """Raise ``ValueError`` if a column is constant, or has a value that is not finite."""
            import numpy as np
            import pandas as pd

            frame = pd.read_parquet(path)
            if not np.isfinite(frame.to_numpy()).all():
                raise ValueError(f"{Path(path).stem} has values that are not finite")
            constant = [name for name in frame.columns if frame[name].nunique() < 2]
            if constant:
                raise ValueError(f"{Path(path).stem} has columns without information: {constant}")
            return path

        return check(compute(name, version))

    @task
    def join(paths: list[str], version: str) -> None:
        """Add the features to the dataset, and publish the new dataset."""
        import pandas as pd

        params = job.params()
        dataset = artifacts.find("datasets", params.dataset, version)
        plain = pd.read_parquet(dataset.file("dataset.parquet"))
        frame = pd.concat([plain, *(pd.read_parquet(path) for path in paths)], axis=1)
        joined = artifacts.run_dir() / "enriched.parquet"
        frame.to_parquet(joined, index=False)
        added = frame.shape[1] - plain.shape[1]
        enriched = artifacts.publish(
            "datasets",
            f"{params.dataset}{artifacts.ENRICHED}",
            {"dataset.parquet": joined},
            parents=[dataset],
            rows=len(frame),
            added_features=added,
            inputs=dataset.card["inputs"],
            recipe={
                "families": params.families,
                "components": min(params.components, dataset.card["inputs"]),
                "clusters": params.clusters,
            },
            columns=artifacts.describe_columns(frame),
        )
        job.publish(
            dataset=enriched.name,
            dataset_version=enriched.version,
            dataset_path=enriched.file("dataset.parquet"),
            parent_version=dataset.version,
            rows=len(frame),
            added_features=added,
        )

    version = wait_for_dataset(job)
    families = choose_families()
    version >> families
    join(family.partial(version=version).expand(name=families), version)
