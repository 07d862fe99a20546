"""Read handwritten digits with a trained model. Each run reads the images of one day. The DAG has a
schedule, and is for MLJobs of type Backfill.

To repeat the predictions with a newer model, run a backfill of a range of dates. The backfill's
conf names the version of the model. The predictions of a day are an artifact with versions:
``latest`` is the version that was published last, and predictions of earlier models are kept.

The images of a day are made from scikit-learn's images of digits, without the images that models
are trained on. The day is the seed, so all runs that have the same day and the same param ``rows``
make the same images. The schedule ended in January 2026, so Airflow starts no more runs by itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import get_current_context, task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, sources
from mljob_examples.waiting import ModelParams, wait_for_model


class DailyParams(ModelParams):
    """Params of the DAG ``daily_predictions``. An MLJob sets these params in ``spec.conf``."""

    rows: int = Field(500, ge=1, le=1_000_000, description="Images of a day.")


class DailyOutputs(BaseModel):
    """Outputs of a run of ``daily_predictions``, for the predictions of one day."""

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
        """Read the day's images, and publish the predictions. The card of the predictions names the
        version of the model.
        """
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
