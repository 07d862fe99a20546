"""Predict with a model that ``train_model`` has published; trains nothing itself.

Waits for the model, since it may be in training: an MLJob that predicts can be applied together with the one that trains.
The digits to read are drawn from those that scikit-learn ships, and read in batches, each by a mapped task.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from mljob_airflow import mljob_callbacks, publish_outputs, report


def data_dir() -> Path:
    """Where datasets and models live; workers on several machines need a volume that they share."""
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def model_path(model_id: str) -> Path:
    """The file of a published model."""
    return data_dir() / "models" / model_id / "model.joblib"


def run_dir() -> Path:
    """A folder of this run's own, for what one task hands to the next."""
    path = data_dir() / "runs" / get_current_context()["run_id"]
    path.mkdir(parents=True, exist_ok=True)
    return path


with DAG(
    dag_id="predict",
    description="Reads handwritten digits with a trained model",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    default_args={**mljob_callbacks(), "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["example", "mljob"],
    params={
        "model_id": Param(
            "digits", type="string", pattern="^[a-z0-9][a-z0-9-]{0,62}$", description="Id of the model to use."
        ),
        "rows": Param(5000, type="integer", minimum=1, maximum=1_000_000, description="Images to read."),
        "batches": Param(3, type="integer", minimum=1, maximum=64, description="Parts that are read in parallel."),
        "seed": Param(1, type="integer", description="The same seed draws the same images."),
        "wait_seconds": Param(600, type="number", minimum=0, description="How long to wait for the model."),
    },
):

    @task.sensor(mode="reschedule", poke_interval=3, timeout=24 * 3600)
    def wait_for_model() -> bool:
        """Wait, without a worker slot, until the model is there; say what is missing when it does not come."""
        context = get_current_context()
        params = context["params"]
        path = model_path(params["model_id"])
        if path.exists():
            return True
        waited = (datetime.now(UTC) - context["dag_run"].start_date).total_seconds()
        if waited >= params["wait_seconds"]:
            raise AirflowFailException(
                f"no model {params['model_id']!r} after {waited:.0f} s ({path}): "
                f"run train_model with conf model_id={params['model_id']!r} first"
            )
        return False

    @task
    def draw() -> list[str]:
        """Draw the images, write them in batches, and return the paths."""
        import numpy as np
        from sklearn.datasets import load_digits

        params = get_current_context()["params"]
        images, labels = load_digits(return_X_y=True)
        random = np.random.default_rng(params["seed"])
        picked = random.integers(len(images), size=params["rows"])
        noisy = images[picked] / 16.0 + random.normal(scale=0.05, size=(len(picked), images.shape[1]))
        paths = []
        parts = [part for part in np.array_split(np.arange(len(picked)), params["batches"]) if len(part)]
        for number, part in enumerate(parts):
            path = run_dir() / f"batch-{number:03}.npz"
            np.savez(path, images=noisy[part], labels=labels[picked][part])
            paths.append(str(path))
        return paths

    @task
    def read(path: str) -> str:
        """Predict one batch, with the model's confidence, and return the path of the predictions."""
        import joblib
        import numpy as np
        import pandas as pd

        model = joblib.load(model_path(get_current_context()["params"]["model_id"]))
        data = np.load(path)
        chunks = np.array_split(data["images"], max(1, len(data["images"]) // 500))
        probabilities, done = [], 0
        for chunk in chunks:
            probabilities.append(model.predict_proba(chunk))
            done += len(chunk)
            report(progress=done / len(data["images"]), metrics={"rows_written": done})
        likely = np.concatenate(probabilities)
        frame = pd.DataFrame(
            {
                "prediction": model.classes_[likely.argmax(axis=1)],
                "confidence": likely.max(axis=1),
                "label": data["labels"],
            }
        )
        predictions = Path(path).with_suffix(".parquet")
        frame.to_parquet(predictions, index=False)
        return str(predictions)

    @task
    def publish(paths: list[str]) -> None:
        """Put the batches together, in their order, beside those of other runs."""
        import pandas as pd

        context = get_current_context()
        frame = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
        published = data_dir() / "predictions" / context["params"]["model_id"] / f"{context['run_id']}.parquet"
        published.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(published, index=False)
        publish_outputs(
            model_id=context["params"]["model_id"],
            predictions_path=published,
            rows=len(frame),
            accuracy=round(float((frame["prediction"] == frame["label"]).mean()), 4),
            mean_confidence=round(float(frame["confidence"].mean()), 4),
        )

    images = draw()
    wait_for_model() >> images
    publish(read.expand(path=images))
