"""Train a model that reads handwritten digits, and report every epoch while it learns.

The images are those that scikit-learn ships. In each epoch a small neural network sees them moved and with new noise,
and its loss and its accuracy on images that it has not seen are reported: they appear in the MLJob while the task runs.
A model that is good enough is published under its id, where ``predict`` finds it.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from mljob_airflow import mljob_callbacks, publish_outputs, report

log = logging.getLogger(__name__)


def data_dir() -> Path:
    """Where datasets and models live; workers on several machines need a volume that they share."""
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def run_dir() -> Path:
    """A folder of this run's own, for what one task hands to the next."""
    path = data_dir() / "runs" / get_current_context()["run_id"]
    path.mkdir(parents=True, exist_ok=True)
    return path


with DAG(
    dag_id="train_model",
    description="Trains a neural network on handwritten digits; reports loss and accuracy of every epoch",
    doc_md=__doc__,
    schedule=None,
    is_paused_upon_creation=False,
    default_args={**mljob_callbacks(), "retries": 1, "retry_delay": timedelta(seconds=10)},
    tags=["example", "mljob"],
    params={
        "model_id": Param(
            "digits",
            type="string",
            pattern="^[a-z0-9][a-z0-9-]{0,62}$",
            description="Id under which the model is published.",
        ),
        "epochs": Param(20, type="integer", minimum=1, maximum=1000, description="Passes over the training images."),
        "copies": Param(
            3,
            type="integer",
            minimum=1,
            maximum=50,
            description="Moved copies of each image in an epoch: work, and quality.",
        ),
        "hidden_units": Param(256, type="integer", minimum=8, maximum=4096, description="Units of the first layer."),
        "learning_rate": Param(0.001, type="number", exclusiveMinimum=0, maximum=1),
        "test_share": Param(0.2, type="number", minimum=0.05, maximum=0.5, description="Share of images to test with."),
        "minimum_accuracy": Param(
            0.5, type="number", minimum=0, maximum=1, description="A model that is worse is not published."
        ),
        "seed": Param(0, type="integer", description="The same seed gives the same model."),
    },
):

    @task
    def load() -> str:
        """Write the images and labels to a file, and return its path."""
        import numpy as np
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        path = run_dir() / "images.npz"
        np.savez(path, images=images / 16.0, labels=labels)
        return str(path)

    @task
    def split(path: str) -> str:
        """Set images aside for testing, the same share of every digit; return the path of both sets."""
        import numpy as np
        from sklearn.model_selection import train_test_split

        params = get_current_context()["params"]
        data = np.load(path)
        train_x, test_x, train_y, test_y = train_test_split(
            data["images"],
            data["labels"],
            test_size=params["test_share"],
            stratify=data["labels"],
            random_state=params["seed"],
        )
        path = str(run_dir() / "split.npz")
        np.savez(path, train_x=train_x, test_x=test_x, train_y=train_y, test_y=test_y)
        return path

    @task
    def fit(path: str) -> str:
        """Train epoch by epoch, and return the path of the model. The metrics are of the epoch that has just ended."""
        import joblib
        import numpy as np
        from scipy.ndimage import shift
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits

        params = get_current_context()["params"]
        data = np.load(path)
        train_x, train_y = data["train_x"], data["train_y"]
        random = np.random.default_rng(params["seed"])
        model = MLPClassifier(
            (params["hidden_units"], 128), learning_rate_init=params["learning_rate"], random_state=params["seed"]
        )

        def augmented() -> Any:
            """Every training image some times over, each time moved and blurred by noise in another way."""
            images = np.tile(train_x, (params["copies"], 1)).reshape(-1, 8, 8)
            moves = random.uniform(-1, 1, size=(len(images), 2))
            moved = np.stack([shift(image, move, order=1) for image, move in zip(images, moves, strict=True)])
            return moved.reshape(len(images), -1) + random.normal(scale=0.05, size=(len(images), 64))

        # The matrices are small: more than one thread only makes tasks on the same machine wait for each other.
        threadpool_limits(1)
        epochs, batch = params["epochs"], 64
        for epoch in range(1, epochs + 1):
            images, labels = augmented(), np.tile(train_y, params["copies"])
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

        path = str(run_dir() / "model.joblib")
        joblib.dump(model, path)
        return path

    @task
    def evaluate(model_path: str, split_path: str) -> dict[str, float]:
        """Measure the model on the images that were set aside."""
        import joblib
        import numpy as np
        from sklearn.metrics import accuracy_score, f1_score

        data = np.load(split_path)
        predicted = joblib.load(model_path).predict(data["test_x"])
        scores = {
            "accuracy": round(float(accuracy_score(data["test_y"], predicted)), 4),
            "f1": round(float(f1_score(data["test_y"], predicted, average="macro")), 4),
        }
        report(metrics=scores)
        return scores

    @task
    def publish(model_path: str, scores: dict[str, float]) -> None:
        """Give the model its id, if it is good enough: at once and as a whole, since somebody may wait for it."""
        params = get_current_context()["params"]
        if scores["accuracy"] < params["minimum_accuracy"]:
            raise AirflowFailException(
                f"accuracy {scores['accuracy']} is below minimum_accuracy {params['minimum_accuracy']}: not published"
            )
        published = data_dir() / "models" / params["model_id"] / "model.joblib"
        published.parent.mkdir(parents=True, exist_ok=True)
        part = published.with_suffix(f".{os.getpid()}.part")
        shutil.copyfile(model_path, part)
        part.replace(published)
        publish_outputs(model_id=params["model_id"], model_path=published, **scores)

    parts = split(load())
    model = fit(parts)
    publish(model, evaluate(model, parts))
