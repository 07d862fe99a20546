from __future__ import annotations

import json
from typing import Any

import pytest

from mljob.compare import compare_jobs, flatten, smallest_is_best
from mljob.errors import Invalid
from mljob.resource import MLJob


def job(name: str, conf: Any = None, outputs: Any = None, metrics: Any = None) -> MLJob:
    tasks = [{"taskId": "fit", "metrics": metrics}] if metrics is not None else None
    status = {"phase": "Succeeded", "outputs": outputs, "tasks": tasks}
    return MLJob({"metadata": {"name": name}, "spec": {"dagId": "train", "conf": conf}, "status": status})


def names(jobs: list[MLJob], **arguments: Any) -> list[str]:
    return [row.job.name for row in compare_jobs(jobs, **arguments).rows]


def test_only_params_that_differ_are_columns() -> None:
    found = compare_jobs(
        [job("a", {"x": 1, "y": {"z": 1, "w": 2}}), job("b", {"x": 1, "y": {"z": 2, "w": 2}, "extra": None})]
    )

    assert found.params == ["y.z", "extra"]
    assert found.header() == ["name", "phase", "y.z", "extra"]


@pytest.mark.parametrize(
    ("outputs", "arguments", "expected"),
    [
        ([{"accuracy": 0.1}, {"accuracy": 0.9}, {}], {}, ["b", "a", "c"]),
        ([{"loss": 0.1}, {"loss": 0.9}, {"loss": 0.5}], {}, ["a", "c", "b"]),
        ([{"loss": 0.1}, {"loss": 0.9}, {"loss": 0.5}], {"less_is_better": False}, ["b", "c", "a"]),
        (
            [{"accuracy": 0.5, "loss": 2}, {"accuracy": 0.4, "loss": 1}, {"accuracy": 0.3, "loss": 3}],
            {"by": "loss"},
            ["b", "a", "c"],
        ),
        ([{"accuracy": "high"}, {"accuracy": True}, {"accuracy": 0.1}], {"by": "accuracy"}, ["c", "a", "b"]),
        ([{"accuracy": 10**400}, {"accuracy": 0.2}, {"accuracy": 0.1}], {"by": "accuracy"}, ["b", "c", "a"]),
        (
            [{"accuracy": float("nan")}, {"accuracy": float("inf")}, {"accuracy": 0.1}],
            {"by": "accuracy"},
            ["c", "a", "b"],
        ),
        ([{}, {}, {}], {}, ["a", "b", "c"]),
    ],
)
def test_best_comes_first(outputs: list[Any], arguments: dict[str, Any], expected: list[str]) -> None:
    jobs = [job(name, outputs=output) for name, output in zip("abc", outputs, strict=True)]

    assert names(jobs, **arguments) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(
            (name, True)
            for name in ("loss", "val_loss", "logloss", "valLoss", "error.rate", "MAE", "test_mae", "rmse2")
        ),
        *((name, False) for name in ("accuracy", "maestro_score", "blossom", "mseries", "terroir")),
    ],
)
def test_smallest_value_is_best_by_the_words_of_a_name(name: str, expected: bool) -> None:
    assert smallest_is_best(name) is expected


def test_last_metrics_are_results_and_outputs_hide_them() -> None:
    found = compare_jobs([job("a", metrics={"loss": 0.5, "epoch": 3}, outputs={"loss": 0.4})])

    assert found.rows[0].results == {"loss": 0.4, "epoch": 3}


def test_outputs_come_before_metrics_and_counters_are_never_the_best() -> None:
    found = compare_jobs(
        [job(name, outputs={"f1": f1}, metrics={"epoch": 30, "loss": f1}) for name, f1 in (("a", 0.1), ("b", 0.9))]
    )

    assert (found.by, found.best and found.best.name) == ("f1", "b")
    assert compare_jobs([job("a", metrics={"epoch": 30})]).by is None
    assert compare_jobs([job("a", metrics={"epoch": 30, "loss": 0.1})]).by == "loss"


def test_result_that_nobody_has_is_told_with_those_that_are_there() -> None:
    with pytest.raises(Invalid, match=r"No MLJob has a number 'acc'\. There are: accuracy"):
        compare_jobs([job("a", outputs={"accuracy": 1, "name": "x"})], by="acc")
    with pytest.raises(Invalid, match=r"'accuracyy' \(did you mean accuracy\?\)\. There are: accuracy"):
        compare_jobs([job("a", outputs={"accuracy": 1, "name": "x"})], by="accuracyy")


def test_comparison_is_printed_as_a_table() -> None:
    found = compare_jobs(
        [job(name, outputs={"f1": f1}) for name, f1 in (("a", 0.25), ("long-name", 0.5))],
        by="f1",
    )

    assert str(found).splitlines() == [
        "name       phase      f1",
        "long-name  Succeeded  0.5",
        "a          Succeeded  0.25",
    ]


def test_columns_of_a_printed_table_are_aligned_after_wide_characters() -> None:
    notes = {"a": "日本語", "b": "abc"}
    found = compare_jobs([job(name, outputs={"f1": 1, "note": note, "z": 2}) for name, note in notes.items()], by="f1")

    assert str(found).splitlines() == [
        "name  phase      f1  note    z",
        "a     Succeeded  1   日本語  2",
        "b     Succeeded  1   abc     2",
    ]


def test_no_best_without_results() -> None:
    assert compare_jobs([job("a")]).best is None
    assert compare_jobs([]).best is None


def test_columns_and_cells_are_bounded_and_harmless() -> None:
    many = {f"p{number}": number for number in range(200)}
    hostile = {"x": "\x1b[31m<script>alert(1)</script>\n" + "y" * 1_000}
    found = compare_jobs([job("a", many, hostile), job("b", {}, {"x": ["z"] * 10_000})])

    assert len(found.params) == 50
    assert found.columns_omitted == 150
    assert all(len(cell) <= 60 and cell.isprintable() for row in found.cells() for cell in row)
    html = found._repr_html_()
    assert "<script" not in html
    assert "&lt;script" in html


def test_frame_has_a_row_for_each_mljob() -> None:
    pytest.importorskip("pandas")

    frame = compare_jobs([job("a", {"x": 1}, {"accuracy": 0.5}), job("b", {"x": 2}, {"accuracy": 0.6})]).to_frame()

    assert list(frame.columns) == ["name", "phase", "x", "accuracy"]
    assert list(frame["name"]) == ["b", "a"]


def test_status_that_is_odd_is_no_result() -> None:
    odd = MLJob(
        {"metadata": {"name": "a"}, "spec": {"conf": 7}, "status": {"tasks": [7, {"metrics": 8}], "outputs": []}}
    )

    assert names([odd]) == ["a"]


def test_deep_conf_is_compared_too() -> None:
    deep = json.loads('{"a":' * 900 + "1" + "}" * 900)
    found = compare_jobs([job("a", {"x": deep, "empty": {}}), job("b", {"x": 1})])

    assert found.params == ["x" + ".a" * 31, "empty", "x"]
    assert all(len(cell) <= 60 for row in found.cells() for cell in row)
    assert dict(flatten({"empty": {}, "list": [{}]})) == {"empty": {}, "list": [{}]}
