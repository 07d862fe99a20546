"""Read each day's images with a trained model: a job with a schedule, whose past is made anew by an MLJob of type Backfill.

When the model changes, a backfill of a range of dates predicts them again with the version that its conf names. The predictions of a
day are an artifact in versions: ``latest`` is the newest, and what earlier models said of that day stays beside it.

Each day's images are drawn from the digits that no dataset holds, by a seed that is the day. The schedule is January 2026 and has
ended, so nothing is run unless a backfill asks for it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import get_current_context, task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, sources
from mljob_examples.waiting import ModelParams, wait_for_model


class DailyParams(ModelParams):
    """With which model, and how much there is to read."""

    rows: int = Field(500, ge=1, le=1_000_000, description="Images of a day.")


class DailyOutputs(BaseModel):
    """Where the day's predictions are, and how good."""

    day: str = Field(description="The day.")
    model_version: str = Field(description="The version of the model that made them.")
    predictions_version: str = Field(description="The version of the day's predictions that was made.")
    predictions_path: str = Field(description="Their file; a card lies beside it.")
    accuracy: float = Field(description="Share of them that is right.")


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
        """Predict the day's images, and publish what was read under the day, with the model's version on the card."""
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
