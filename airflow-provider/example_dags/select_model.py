"""Compare candidate models on a version of a dataset, and publish the best model.

A mapped task cross-validates each candidate. The rows of the dataset are variants of the rows of a
dataset of scikit-learn. All variants of the same original row are in the same fold. Added features,
such as principal components, are fitted on the training rows only. So neither a model nor the
features have seen the test rows.

Another task trains the best candidate on growing shares of the training rows of one fold. After
each share, the MLJob's status shows the accuracy on the test rows of this fold. If the accuracy
still rises at the last share, more data may help. Finally, this task trains the published model on
all rows. The run fails before this task if the accuracy of the best candidate is below the param
``minimum_accuracy``.

The published version of the model has metrics, a plot, and the file ``card.json``, which names the
version of the dataset.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from airflow.sdk import task
from pydantic import BaseModel, Field

from mljob_airflow import JobType, fail_for_good, mljob_dag, report
from mljob_examples import artifacts, features, plot
from mljob_examples.candidates import Candidate, folds, model_of
from mljob_examples.waiting import DatasetParams, wait_for_dataset

SHARES = (0.125, 0.25, 0.5, 1.0)
"""The steps of the learning curve, as shares of the training rows."""


class SelectParams(DatasetParams):
    """Params of the DAG ``select_model``."""

    model_id: str = Field("digits", pattern=artifacts.NAME, description="Id under which the model is published.")
    candidates: list[Candidate] = Field(
        ["logistic_regression", "nearest_neighbours", "random_forest"],
        min_length=1,
        json_schema_extra={"uniqueItems": True},
        description="The kinds of model to compare.",
    )
    folds: int = Field(5, ge=2, le=20, description="Folds of the cross-validation.")
    minimum_accuracy: float = Field(0.5, ge=0, le=1, description="Lowest accuracy with which the model is published.")
    seed: int = Field(0, description="The same seed gives the same model.")


class SelectOutputs(BaseModel):
    """Outputs of a run of ``select_model``."""

    model_id: str = Field(description="Id of the model, for predict.")
    model_version: str = Field(description="Version of the model, which is now the latest.")
    model_path: str = Field(description="File of the model. Metrics, a plot and a card are in the same folder.")
    plot_path: str = Field(description="The plot of the comparison.")
    chosen: str = Field(description="The candidate that was chosen.")
    accuracy: float = Field(description="Accuracy on the test rows, the mean over the folds.")
    f1: float = Field(description="F1 score on the test rows, the mean over labels and folds.")
    dataset_version: str = Field(description="Version of the dataset that the model was trained on.")


with mljob_dag(
    "select_model",
    type=JobType.TRAINING,
    params=SelectParams,
    outputs=SelectOutputs,
    owner="ml-platform",
    description="Compares candidate models by cross-validation on a dataset, and publishes the best",
    doc_md=__doc__,
    tags=["example"],
) as job:

    def load(version: str) -> tuple[artifacts.Artifact, Any, Any, Any, Any]:
        """Return the dataset, the inputs of shape (rows, inputs), the labels, the origins, and the
        unfitted transformer that adds the features.
        """
        import pandas as pd

        dataset = artifacts.find("datasets", job.params().dataset, version)
        card = dataset.card
        frame = pd.read_parquet(dataset.file("dataset.parquet"))
        inputs = frame.iloc[:, : card["inputs"]].to_numpy()
        recipe = features.recipe(**card.get("recipe", {}))
        return dataset, inputs, frame[features.LABEL].to_numpy(), frame[features.ORIGIN].to_numpy(), recipe

    @task
    def choose_candidates() -> list[str]:
        """Return the candidates that the run's params name."""
        return list(job.params().candidates)

    @task
    def cross_validate(candidate: Candidate, version: str) -> dict[str, Any]:
        """Return the accuracy and the F1 score of a candidate in each fold."""
        from sklearn.metrics import accuracy_score, f1_score
        from threadpoolctl import threadpool_limits

        params = job.params()
        _, inputs, labels, origins, recipe = load(version)
        # Use one thread, because the mapped tasks run at the same time and share the cores of the
        # machine.
        threadpool_limits(1)
        accuracy, f1 = [], []
        for learned, tested in folds(labels, origins, params.folds, params.seed):
            model = model_of(candidate, recipe, params.seed).fit(inputs[learned], labels[learned])
            predicted = model.predict(inputs[tested])
            accuracy.append(round(float(accuracy_score(labels[tested], predicted)), 4))
            f1.append(round(float(f1_score(labels[tested], predicted, average="macro")), 4))
            report(progress=len(accuracy) / params.folds)
        return {"candidate": candidate, "accuracy": accuracy, "f1": f1}

    @task
    def compare(scores: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the candidates with their scores, best first. Fail without a retry if the best
        accuracy is below ``minimum_accuracy``.
        """
        from statistics import mean, stdev

        table = [
            {
                "candidate": row["candidate"],
                "accuracy": round(mean(row["accuracy"]), 4),
                "spread": round(stdev(row["accuracy"]), 4),
                "f1": round(mean(row["f1"]), 4),
            }
            for row in scores
        ]
        table.sort(key=lambda row: (-row["accuracy"], row["candidate"]))
        report(progress=1, metrics={row["candidate"]: row["accuracy"] for row in table})
        best = table[0]
        if best["accuracy"] < job.params().minimum_accuracy:
            raise fail_for_good(
                f"accuracy {best['accuracy']} of {best['candidate']}, the best candidate, is below "
                f"minimum_accuracy {job.params().minimum_accuracy}: no model is published"
            )
        return {"table": table, "folds": {row["candidate"]: row["accuracy"] for row in scores}}

    @task
    def fit(compared: dict[str, Any], version: str) -> dict[str, Any]:
        """Train the best candidate on more and more rows, and then on all rows. Return the path of
        the model, and the learning curve.
        """
        import joblib
        import numpy as np
        from threadpoolctl import threadpool_limits

        params = job.params()
        chosen = compared["table"][0]["candidate"]
        _, inputs, labels, origins, recipe = load(version)
        threadpool_limits(1)
        learned, tested = next(folds(labels, origins, params.folds, params.seed))
        learned = np.random.default_rng(params.seed).permutation(learned)
        curve = []
        for step, share in enumerate(SHARES, 1):
            part = learned[: max(1, int(len(learned) * share))]
            model = model_of(chosen, recipe, params.seed).fit(inputs[part], labels[part])
            accuracy = round(float(model.score(inputs[tested], labels[tested])), 4)
            curve.append((len(part), accuracy))
            report(progress=step / (len(SHARES) + 1), metrics={"rows": len(part), "accuracy": accuracy})
        model = model_of(chosen, recipe, params.seed).fit(inputs, labels)
        # This model was trained on all rows, so no rows are left to test it on. Report the accuracy
        # of the last step's model. It is probably a little too low, because the last step's model
        # was trained on fewer rows.
        report(progress=1, metrics={"rows": len(inputs), "accuracy": curve[-1][1]})
        path = artifacts.run_dir() / "model.joblib"
        joblib.dump(model, path)
        return {"path": str(path), "curve": curve}

    @task
    def publish(compared: dict[str, Any], fitted: dict[str, Any], version: str) -> None:
        """Publish the model with metrics and a plot."""
        import sklearn

        params = job.params()
        best, *_ = table = compared["table"]
        scores = {score: best[score] for score in ("accuracy", "f1")}
        metrics = artifacts.run_dir() / "metrics.json"
        metrics.write_text(
            json.dumps({"chosen": best["candidate"], **scores, **compared, "curve": fitted["curve"]}, indent=2)
        )
        drawn = artifacts.run_dir() / "comparison.svg"
        drawn.write_text(plot.comparison(compared["folds"], best["candidate"], fitted["curve"]))
        dataset = artifacts.find("datasets", params.dataset, version)
        model = artifacts.publish(
            "models",
            params.model_id,
            {"model.joblib": Path(fitted["path"]), "metrics.json": metrics, "comparison.svg": drawn},
            parents=[dataset],
            source={"scikit-learn": sklearn.__version__},
            params=params.model_dump(mode="json"),
            chosen=best["candidate"],
            metrics=scores,
            candidates=table,
        )
        job.publish(
            model_id=model.name,
            model_version=model.version,
            model_path=model.file("model.joblib"),
            plot_path=model.file("comparison.svg"),
            chosen=best["candidate"],
            **scores,
            dataset_version=dataset.version,
        )

    version = wait_for_dataset(job)
    compared = compare(cross_validate.partial(version=version).expand(candidate=choose_candidates()))
    publish(compared, fit(compared, version), version)
