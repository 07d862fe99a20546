"""Predict the digits in the images of a day with a trained model. The DAG is for MLJobs of type
Backfill. A backfill has a run for each day.

To repeat the predictions with another version of the model, run a backfill with
``reprocessBehavior: Completed`` and the param ``model_version``. Earlier predictions of a day are
kept as older versions.

The images are made from scikit-learn's images of digits. The same day and the same ``rows`` give
the same images. The daily schedule ended in January 2026, so Airflow starts no run by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import get_current_context, task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, sources
from mljob_examples.waiting import ModelParams, wait_for_model


class DailyParams(ModelParams):
    """Params of the DAG ``daily_predictions``."""

    rows: int = Field(500, ge=1, le=1_000_000, description="Images of a day.")


class DailyOutputs(BaseModel):
    """Outputs of a run of ``daily_predictions``."""

    day: str = Field(description="The day.")
    model_version: str = Field(description="Version of the model.")
    predictions_version: str = Field(description="Version of the day's predictions.")
    predictions_path: str = Field(description="File of the predictions. The card is in the same folder.")
    accuracy: float = Field(description="Share of predictions that are correct.")


with mljob_dag(
    "daily_predictions",
    type=JobType.PREDICTION,
    params=DailyParams,
    outputs=DailyOutputs,
    owner="ml-platform",
    description="Reads each day's handwritten digits with a trained model",
    doc_md=__doc__,
    tags=["example"],
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 1, 31, tzinfo=UTC),
) as job:

    @task
    def read(version: str) -> None:
        """Predict the digits in the day's images, and publish the predictions."""
        import joblib
        import pandas as pd

        params = job.params()
        day = get_current_context()["logical_date"].date()
        model = artifacts.find("models", params.model_id, version)
        images, labels = sources.new_images(day.toordinal(), params.rows)
        classifier = joblib.load(model.file("model.joblib"))
        likely = classifier.predict_proba(images)
        frame = pd.DataFrame(
            {
                "prediction": classifier.classes_[likely.argmax(axis=1)],
                "confidence": likely.max(axis=1),
                "label": labels,
            }
        )
        accuracy = round(float((frame["prediction"] == frame["label"]).mean()), 4)
        report(progress=1, metrics={"rows_written": len(frame), "accuracy": accuracy})
        written = artifacts.run_dir() / "predictions.parquet"
        frame.to_parquet(written, index=False)
        predictions = artifacts.publish(
            "predictions",
            f"{model.name}-{day.isoformat()}",
            {"predictions.parquet": written},
            parents=[model],
            day=day.isoformat(),
            metrics={"rows": len(frame), "accuracy": accuracy},
        )
        job.publish(
            day=day.isoformat(),
            model_version=model.version,
            predictions_version=predictions.version,
            predictions_path=predictions.file("predictions.parquet"),
            accuracy=accuracy,
        )

    read(wait_for_model(job))
