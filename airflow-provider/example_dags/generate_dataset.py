"""Generate a dataset: grow one that scikit-learn ships to any number of rows, in shards, checked before it is published.

Images of digits are moved and get noise; tables are resampled with jitter as wide as a share of each column's spread. The
shards are generated in parallel (mapped tasks), put together into one Parquet file, and only a dataset that passes
its checks gets the name that other DAGs look for.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow import mljob_callbacks, publish_outputs, report


def data_dir() -> Path:
    """Where datasets and models live; workers on several machines need a volume that they share."""
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


with DAG(
    dag_id="generate_dataset",
    description="Grows a dataset that scikit-learn ships to any number of rows",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    default_args={**mljob_callbacks(), "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["example", "mljob"],
    params={
        "dataset": Param(
            "digits",
            type="string",
            pattern="^[a-z0-9][a-z0-9-]{0,62}$",
            description="Name under which other DAGs find the dataset.",
        ),
        "source": Param("digits", enum=["digits", "breast_cancer", "wine"], description="What it is grown from."),
        "rows": Param(20_000, type="integer", minimum=200, maximum=2_000_000, description="Rows of the dataset."),
        "shards": Param(4, type="integer", minimum=1, maximum=64, description="Parts that are generated in parallel."),
        "noise": Param(
            0.05, type="number", minimum=0, maximum=1, description="Jitter, as a share of a column's spread."
        ),
        "seed": Param(7, type="integer", description="The same seed gives the same dataset."),
    },
):

    @task
    def plan() -> list[dict[str, int]]:
        """Divide the rows among the shards; each has a seed of its own, so that they don't repeat each other."""
        params = get_current_context()["params"]
        rows, shards = params["rows"], params["shards"]
        return [
            {"shard": shard, "rows": rows // shards + (shard < rows % shards), "seed": params["seed"] * 1000 + shard}
            for shard in range(shards)
        ]

    @task
    def generate(shard: int, rows: int, seed: int) -> str:
        """Write one shard, and return its path."""
        import numpy as np
        import pandas as pd
        from scipy.ndimage import shift
        from sklearn import datasets

        context = get_current_context()
        params = context["params"]
        bunch = getattr(datasets, f"load_{params['source']}")()
        random = np.random.default_rng(seed)
        spread = bunch.data.std(axis=0) * params["noise"]

        features, labels = [], []
        chunk = 1000
        for start in range(0, rows, chunk):
            picked = random.integers(len(bunch.data), size=min(chunk, rows - start))
            sample = bunch.data[picked]
            if params["source"] == "digits":
                moves = random.uniform(-1, 1, size=(len(picked), 2))
                images = sample.reshape(-1, 8, 8)
                sample = np.stack([shift(image, move, order=1) for image, move in zip(images, moves, strict=True)])
                sample = sample.reshape(len(picked), -1)
            features.append(sample + random.normal(size=sample.shape) * spread)
            labels.append(bunch.target[picked])
            done = start + len(picked)
            report(progress=done / rows, metrics={"rows_written": done})

        names = [str(name).replace(" ", "_") for name in bunch.feature_names]
        frame = pd.DataFrame(np.concatenate(features), columns=names)
        frame["label"] = np.concatenate(labels)
        # A folder of this run's own: two runs for one dataset must not mix their shards.
        path = data_dir() / "runs" / context["run_id"] / f"shard-{shard:03}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(path, index=False)
        return str(path)

    @task
    def merge(shards: list[str]) -> str:
        """Put the shards together, in their order, and return the path."""
        import pandas as pd

        paths = [Path(path) for path in shards]
        merged = paths[0].parent / "dataset.parquet"
        pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True).to_parquet(merged, index=False)
        return str(merged)

    @task
    def check(path: str) -> dict[str, Any]:
        """Refuse a dataset with missing values, missing rows, or a class that has all but vanished."""
        import pandas as pd

        params = get_current_context()["params"]
        frame = pd.read_parquet(path)
        shares = frame["label"].value_counts(normalize=True)
        if frame.isna().any().any():
            raise ValueError("the dataset has missing values")
        if len(frame) != params["rows"]:
            raise ValueError(f"the dataset has {len(frame)} rows instead of {params['rows']}")
        if shares.min() < 0.2 / len(shares):
            raise ValueError(f"class {shares.idxmin()} has only {shares.min():.1%} of the rows")
        return {"rows": len(frame), "features": frame.shape[1] - 1, "classes": len(shares)}

    @task
    def publish(path: str, facts: dict[str, Any]) -> None:
        """Give the dataset its name, at once and as a whole: who waits for it never sees half of it."""
        params = get_current_context()["params"]
        published = data_dir() / "datasets" / params["dataset"] / "dataset.parquet"
        published.parent.mkdir(parents=True, exist_ok=True)
        part = published.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(path, part)
        part.replace(published)
        publish_outputs(dataset=params["dataset"], dataset_path=published, **facts)

    merged = merge(generate.expand_kwargs(plan()))
    publish(merged, check(merged))
