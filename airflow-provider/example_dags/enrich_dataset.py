"""Enrich a dataset: add families of features to it, each computed in a task group of its own.

Waits for the dataset, since it may be in the making: an MLJob that enriches can be applied together with the one that
generates. The families are mapped: asking for one more is a matter of conf, not of code.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from mljob_airflow import mljob_callbacks, publish_outputs, report


def data_dir() -> Path:
    """Where datasets and models live; workers on several machines need a volume that they share."""
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def dataset_path(dataset: str, name: str = "dataset") -> Path:
    """The file of a published dataset."""
    return data_dir() / "datasets" / dataset / f"{name}.parquet"


with DAG(
    dag_id="enrich_dataset",
    description="Adds features to a dataset: components, clusters, statistics",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    default_args={**mljob_callbacks(), "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["example", "mljob"],
    params={
        "dataset": Param(
            "digits", type="string", pattern="^[a-z0-9][a-z0-9-]{0,62}$", description="Name of the dataset to enrich."
        ),
        "families": Param(
            ["components", "clusters", "statistics"],
            type="array",
            minItems=1,
            uniqueItems=True,
            items={"enum": ["components", "clusters", "statistics"]},
            description="Which features to add.",
        ),
        "components": Param(8, type="integer", minimum=1, maximum=64, description="Principal components to add."),
        "clusters": Param(10, type="integer", minimum=2, maximum=100, description="Clusters to measure distances to."),
        "wait_seconds": Param(300, type="number", minimum=0, description="How long to wait for the dataset."),
    },
):

    @task.sensor(mode="reschedule", poke_interval=3, timeout=24 * 3600)
    def wait_for_dataset() -> bool:
        """Wait, without a worker slot, until the dataset is there; say what is missing when it does not come."""
        context = get_current_context()
        params = context["params"]
        path = dataset_path(params["dataset"])
        if path.exists():
            return True
        waited = (datetime.now(UTC) - context["dag_run"].start_date).total_seconds()
        if waited >= params["wait_seconds"]:
            raise AirflowFailException(
                f"no dataset {params['dataset']!r} after {waited:.0f} s ({path}): "
                f"run generate_dataset with conf dataset={params['dataset']!r} first"
            )
        return False

    @task
    def choose_families() -> list[str]:
        """The families to compute: one mapped task group each."""
        families: list[str] = get_current_context()["params"]["families"]
        return families

    @task_group
    def family(name: str) -> Any:
        """Compute one family of features, then check it."""

        @task
        def compute(name: str) -> str:
            """Write the family's columns, one row for each of the dataset's, and return the path."""
            import numpy as np
            import pandas as pd
            from sklearn.cluster import MiniBatchKMeans
            from sklearn.decomposition import PCA
            from sklearn.preprocessing import StandardScaler

            context = get_current_context()
            params = context["params"]
            values = pd.read_parquet(dataset_path(params["dataset"])).drop(columns="label").to_numpy()
            if name == "components":
                count = min(params["components"], values.shape[1])
                scaled = StandardScaler().fit_transform(values)
                frame = pd.DataFrame(PCA(count, random_state=0).fit_transform(scaled)).add_prefix("component_")
            elif name == "clusters":
                model = MiniBatchKMeans(params["clusters"], n_init=3, random_state=0)
                frame = pd.DataFrame(model.fit_transform(values)).add_prefix("distance_")
                frame["cluster"] = model.labels_
            else:
                frame = pd.DataFrame(
                    {
                        "mean": values.mean(axis=1),
                        "spread": values.std(axis=1),
                        "maximum": values.max(axis=1),
                        "energy": np.square(values).sum(axis=1),
                    }
                )
            report(progress=0.9, metrics={"rows_written": len(frame), "features": frame.shape[1]})
            path = data_dir() / "runs" / context["run_id"] / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(path, index=False)
            return str(path)

        @task
        def check(path: str) -> str:
            """Refuse columns that are not finite, or that say the same of every row."""
            import numpy as np
            import pandas as pd

            frame = pd.read_parquet(path)
            if not np.isfinite(frame.to_numpy()).all():
                raise ValueError(f"{Path(path).stem} has values that are not finite")
            constant = [name for name in frame.columns if frame[name].nunique() < 2]
            if constant:
                raise ValueError(f"{Path(path).stem} has columns without information: {constant}")
            return path

        return check(compute(name))

    @task
    def join(paths: list[str]) -> None:
        """Put the features beside the dataset's columns, and publish both as the enriched dataset."""
        import pandas as pd

        params = get_current_context()["params"]
        dataset = pd.read_parquet(dataset_path(params["dataset"]))
        parts = [pd.read_parquet(path) for path in paths]
        short = [path for path, part in zip(paths, parts, strict=True) if len(part) != len(dataset)]
        if short:
            # The dataset was generated anew while this run worked on the old one; a retry would not mend that.
            raise AirflowFailException(f"the dataset has changed during the run: {short} have other rows than it")
        enriched = pd.concat([dataset, *parts], axis=1)
        published = dataset_path(params["dataset"], "enriched")
        part = published.with_suffix(f".{os.getpid()}.part")
        enriched.to_parquet(part, index=False)
        part.replace(published)
        publish_outputs(
            dataset=params["dataset"],
            dataset_path=published,
            rows=len(enriched),
            added_features=enriched.shape[1] - dataset.shape[1],
        )

    families = choose_families()
    wait_for_dataset() >> families
    join(family.expand(name=families))
