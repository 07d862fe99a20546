"""Publish statistics of each day's images. The DAG is for MLJobs of type Backfill.

The images are drawn at random from scikit-learn's images of digits. The same day and the same
param ``rows`` give the same images. The DAG has a daily schedule, because a backfill needs a
schedule. The schedule ended in January 2026, so Airflow starts no run by itself.

This DAG is declared with Airflow's ``DAG`` and ``mljob_callbacks()``. The other examples are
declared with ``mljob_dag``.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

from mljob_airflow import mljob_callbacks, publish_outputs


def data_dir() -> Path:
    """Return the folder for the files of all example DAGs: the value of ``MLJOB_DATA_DIR``, by
    default ``mljob-data`` in the temporary folder. Workers on several machines need a shared volume
    for this folder.
    """
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def day_dir() -> Path:
    """Create and return the folder for the files of one day: the day of the run's logical date."""
    path: Path = data_dir() / "daily" / get_current_context()["logical_date"].date().isoformat()
    path.mkdir(parents=True, exist_ok=True)
    return path


with DAG(
    dag_id="daily_statistics",
    description="Statistics of each day's images",
    doc_md=__doc__,
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 1, 31, tzinfo=UTC),
    catchup=False,
    is_paused_upon_creation=False,
    default_args={**mljob_callbacks(), "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["example", "mljob"],
    params={
        "rows": Param(500, type="integer", minimum=1, maximum=1_000_000, description="Images of a day."),
    },
):

    @task
    def collect() -> str:
        """Save the day's images to a file, and return the file's path."""
        import numpy as np
        from sklearn.datasets import load_digits

        context = get_current_context()
        images, labels = load_digits(return_X_y=True)
        random = np.random.default_rng(context["logical_date"].toordinal())
        picked = random.integers(len(images), size=context["params"]["rows"])
        path = day_dir() / "images.npz"
        np.savez(path, images=images[picked] / 16.0, labels=labels[picked])
        return str(path)

    @task
    def describe(path: str) -> None:
        """Publish the count of each digit, and the mean and the standard deviation of the pixels."""
        import numpy as np

        data = np.load(path)
        digits, counts = np.unique(data["labels"], return_counts=True)
        statistics = {
            "day": get_current_context()["logical_date"].date().isoformat(),
            "rows": len(data["labels"]),
            "mean": round(float(data["images"].mean()), 4),
            "std": round(float(data["images"].std()), 4),
            "digits": {str(digit): int(count) for digit, count in zip(digits, counts, strict=True)},
        }
        published = day_dir() / "statistics.json"
        published.write_text(json.dumps(statistics, indent=2))
        publish_outputs(statistics_path=published, **statistics)

    describe(collect())
