"""Predict the digits in many images with a model that the DAG ``select_model`` or ``train_model``
has published. Mapped tasks predict batches of images in parallel.

The DAG waits for the model. So an MLJob of this DAG can be applied together with the MLJob that
trains the model. The images are made from images of scikit-learn that no model was trained on.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, mljob_dag, report
from mljob_examples import artifacts, sources
from mljob_examples.waiting import ModelParams, wait_for_model


class PredictParams(ModelParams):
    """Params of the DAG ``predict``."""

    rows: int = Field(5000, ge=1, le=1_000_000, description="Images to read.")
    batches: int = Field(3, ge=1, le=64, description="Batches that are read in parallel.")
    seed: int = Field(1, description="The same seed draws the same images.")


class PredictOutputs(BaseModel):
    """Outputs of a run of ``predict``."""

    model_id: str = Field(description="Id of the model.")
    model_version: str = Field(description="Version of the model.")
    predictions_version: str = Field(description="Version of the predictions.")
    predictions_path: str = Field(
        description="File with the prediction, the confidence and the true label of each image."
    )
    rows: int = Field(description="Number of predictions.")
    accuracy: float = Field(description="Share of predictions that are correct.")
    mean_confidence: float = Field(description="Confidence of the model, the mean over all images.")


with mljob_dag(
    "predict",
    type=JobType.PREDICTION,
    params=PredictParams,
    outputs=PredictOutputs,
    owner="ml-platform",
    description="Reads handwritten digits with a trained model",
    doc_md=__doc__,
    tags=["example"],
) as job:

    @task
    def draw() -> list[str]:
        """Make the images, write each batch of images to a file, and return the paths of the files."""
        import numpy as np

        params = job.params()
        images, labels = sources.new_images(params.seed, params.rows)
        paths = []
        parts = [part for part in np.array_split(np.arange(len(images)), params.batches) if len(part)]
        for number, part in enumerate(parts):
            path = artifacts.run_dir() / f"batch-{number:03}.npz"
            np.savez(path, images=images[part], labels=labels[part])
            paths.append(str(path))
        return paths

    @task
    def read(path: str, version: str) -> str:
        """Predict the digits in a batch of images, and return the path of the file with the
        predictions.
        """
        import joblib
        import numpy as np
        import pandas as pd

        model = joblib.load(artifacts.find("models", job.params().model_id, version).file("model.joblib"))
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
    def publish(paths: list[str], version: str) -> None:
        """Merge the predictions of all batches, and publish the predictions."""
        import pandas as pd

        model = artifacts.find("models", job.params().model_id, version)
        frame = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
        joined = artifacts.run_dir() / "predictions.parquet"
        frame.to_parquet(joined, index=False)
        scores = {
            "rows": len(frame),
            "accuracy": round(float((frame["prediction"] == frame["label"]).mean()), 4),
            "mean_confidence": round(float(frame["confidence"].mean()), 4),
        }
        predictions = artifacts.publish(
            "predictions", model.name, {"predictions.parquet": joined}, parents=[model], metrics=scores
        )
        job.publish(
            model_id=model.name,
            model_version=model.version,
            predictions_version=predictions.version,
            predictions_path=predictions.file("predictions.parquet"),
            **scores,
        )

    version = wait_for_model(job)
    images = draw()
    version >> images
    publish(read.partial(version=version).expand(path=images), version)
