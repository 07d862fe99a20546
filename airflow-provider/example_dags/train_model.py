"""Train a neural network that reads handwritten digits.

The images are scikit-learn's images of digits, without the images that are kept for predictions
(:mod:`mljob_examples.sources`). Each epoch uses several copies of each training image. Each copy is
moved at random by at most one pixel horizontally and vertically, and gets noise. The MLJob's status
shows the loss and the test accuracy after each epoch.

The run fails if the trained model's accuracy on the test images is below the param
``minimum_accuracy``. Otherwise the run publishes the model and its metrics. The DAG ``predict`` can
use a published model.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, fail_for_good, mljob_dag, report
from mljob_examples import artifacts, sources

log = logging.getLogger(__name__)


class TrainParams(BaseModel):
    """Params of the DAG ``train_model``."""

    model_id: str = Field("digits", pattern=artifacts.NAME, description="Id under which the model is published.")
    epochs: int = Field(20, ge=1, le=1000, description="Passes over the training images.")
    copies: int = Field(
        3,
        ge=1,
        le=50,
        description="Moved copies of each image in an epoch. More copies take more time and give a better model.",
    )
    hidden_units: int = Field(256, ge=8, le=4096, description="Units of the first hidden layer.")
    learning_rate: float = Field(0.001, gt=0, le=1, description="Step size of the optimiser.")
    test_share: float = Field(0.2, ge=0.05, le=0.5, description="Share of images to test with.")
    minimum_accuracy: float = Field(0.5, ge=0, le=1, description="Lowest accuracy with which the model is published.")
    seed: int = Field(0, description="The same seed gives the same model.")


class TrainOutputs(BaseModel):
    """Outputs of a run of ``train_model``."""

    model_id: str = Field(description="Id of the model, for predict.")
    model_version: str = Field(description="Version of the model, which is now the latest.")
    model_path: str = Field(description="File of the model. Metrics and a card are in the same folder.")
    accuracy: float = Field(description="Share of the test images that it reads.")
    f1: float = Field(description="F1 score on the test images, the mean over the digits.")


with mljob_dag(
    "train_model",
    type=JobType.TRAINING,
    params=TrainParams,
    outputs=TrainOutputs,
    owner="ml-platform",
    description="Trains a neural network on handwritten digits; reports loss and accuracy of every epoch",
    doc_md=__doc__,
    tags=["example"],
) as job:

    @task
    def load() -> str:
        """Write the images and labels to a file, and return the file's path."""
        import numpy as np

        known = sources.known()
        path = artifacts.run_dir() / "images.npz"
        np.savez(path, images=known.data / 16.0, labels=known.target)
        return str(path)

    @task
    def split(path: str) -> str:
        """Divide the images into training and test images, with the same share of each digit.
        Return the path of the file with both sets.
        """
        import numpy as np
        from sklearn.model_selection import train_test_split

        params = job.params()
        data = np.load(path)
        train_x, test_x, train_y, test_y = train_test_split(
            data["images"],
            data["labels"],
            test_size=params.test_share,
            stratify=data["labels"],
            random_state=params.seed,
        )
        path = str(artifacts.run_dir() / "split.npz")
        np.savez(path, train_x=train_x, test_x=test_x, train_y=train_y, test_y=test_y)
        return path

    @task
    def fit(path: str) -> str:
        """Train the model, report the metrics of each epoch, and return the path of the model."""
        import joblib
        import numpy as np
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import MinMaxScaler
        from threadpoolctl import threadpool_limits

        params = job.params()
        data = np.load(path)
        train_x, train_y = data["train_x"], data["train_y"]
        random = np.random.default_rng(params.seed)
        model = MLPClassifier(
            (params.hidden_units, 128), learning_rate_init=params.learning_rate, random_state=params.seed
        )

        def augmented() -> Any:
            """Return ``copies`` copies of every training image, each moved and with noise."""
            images = sources.moved(np.tile(train_x, (params.copies, 1)), random)
            return images + random.normal(scale=0.05, size=images.shape)

        # Use one thread. The matrices are small, and with more threads, tasks on the same machine
        # would wait for each other.
        threadpool_limits(1)
        epochs, batch = params.epochs, 64
        for epoch in range(1, epochs + 1):
            images, labels = augmented(), np.tile(train_y, params.copies)
            order = random.permutation(len(images))
            losses = []
            for start in range(0, len(order), batch):
                picked = order[start : start + batch]
                model.partial_fit(images[picked], labels[picked], classes=np.arange(10))
                losses.append(model.loss_)
            accuracy = model.score(data["test_x"], data["test_y"])
            loss = float(np.mean(losses))
            log.info("Epoch %d/%d: loss %.4f, accuracy %.4f", epoch, epochs, loss, accuracy)
            report(progress=epoch / epochs, metrics={"epoch": epoch, "loss": loss, "accuracy": accuracy})

        # Scale the pixels in the model, because callers of the model have pixels from 0 to 16, and
        # the network was trained with pixels from 0 to 1.
        scale = MinMaxScaler().fit([[0] * 64, [16] * 64])
        path = str(artifacts.run_dir() / "model.joblib")
        joblib.dump(make_pipeline(scale, model), path)
        return path

    @task
    def evaluate(model_path: str, split_path: str) -> dict[str, float]:
        """Return the accuracy and the F1 score on the test images."""
        import joblib
        import numpy as np
        from sklearn.metrics import accuracy_score, f1_score

        data = np.load(split_path)
        predicted = joblib.load(model_path).predict(data["test_x"] * 16)
        scores = {
            "accuracy": round(float(accuracy_score(data["test_y"], predicted)), 4),
            "f1": round(float(f1_score(data["test_y"], predicted, average="macro")), 4),
        }
        report(metrics=scores)
        return scores

    @task
    def publish(model_path: str, scores: dict[str, float]) -> None:
        """Publish the model. Fail without a retry if the accuracy is below ``minimum_accuracy``."""
        import sklearn

        params = job.params()
        if scores["accuracy"] < params.minimum_accuracy:
            raise fail_for_good(
                f"accuracy {scores['accuracy']} is below minimum_accuracy {params.minimum_accuracy}: the model is not published"
            )
        metrics = artifacts.run_dir() / "metrics.json"
        metrics.write_text(json.dumps(scores, indent=2))
        model = artifacts.publish(
            "models",
            params.model_id,
            {"model.joblib": Path(model_path), "metrics.json": metrics},
            source={"scikit-learn": "digits", "release": sklearn.__version__},
            params=params.model_dump(mode="json"),
            metrics=scores,
        )
        job.publish(model_id=model.name, model_version=model.version, model_path=model.file("model.joblib"), **scores)

    parts = split(load())
    model = fit(parts)
    publish(model, evaluate(model, parts))
