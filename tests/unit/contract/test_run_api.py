"""The formats of the API run.mljob.dev: history entries, graphs, paths and log positions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_contract.graph import GraphEdge, GraphTask, RunGraph
from mljob_contract.history import (
    MAX_ENTRY_BYTES,
    EndReason,
    EntryError,
    HistoryEnd,
    HistoryEntry,
    HistoryNotice,
    MetricsReport,
    ProgressReport,
    RunChange,
    TaskChange,
    entry_line,
    parse_entry,
)
from mljob_contract.mljob import MappedTasks, StatusSource
from mljob_contract.run_api import LogPosition, RunSubresource, run_path

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
KAFKA = StatusSource.KAFKA


@pytest.mark.parametrize(
    "entry",
    [
        RunChange(time=AT, source=KAFKA, state="running"),
        TaskChange(
            time=AT,
            source=StatusSource.REST,
            task_id="fit",
            map_index=3,
            try_number=2,
            state="failed",
            start_time=AT,
            error=EntryError(type="ValueError", message="3 columns\nmissing"),
        ),
        ProgressReport(time=AT, source=KAFKA, task_id="fit", try_number=1, progress=0.5),
        MetricsReport(time=AT, source=KAFKA, task_id="fit", try_number=1, metrics={"loss": 0.31, "epoch": 4}),
        HistoryNotice(message="Events before 12:00 are not there any more."),
        HistoryEnd(reason=EndReason.COMPLETE),
    ],
    ids=lambda entry: entry.kind,
)
def test_an_entry_is_one_line_that_reads_back(entry: HistoryEntry) -> None:
    line = entry_line(entry)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert parse_entry(line) == entry


def test_names_of_fields_are_in_camel_case() -> None:
    line = entry_line(MetricsReport(time=AT, source=KAFKA, task_id="fit", try_number=1, metrics={"train_loss": 1.5}))
    assert line == (
        b'{"time":"2026-01-01T12:00:00Z","source":"Kafka","taskId":"fit","mapIndex":-1,"tryNumber":1,'
        b'"kind":"metrics","metrics":{"train_loss":1.5}}\n'
    )


@pytest.mark.parametrize("line", [b"", b"\n", "  \n", '{"kind": "added in a later version", "x": 1}'])
def test_heartbeats_and_unknown_kinds_are_no_entries(line: str | bytes) -> None:
    assert parse_entry(line) is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("Internal Server Error", "Invalid JSON", id="not JSON"),
        pytest.param("[]", "should be an object", id="no object"),
        pytest.param("[" * 60_000, "recursion limit", id="nested"),
        pytest.param('{"kind": "run"}', "Field required", id="without a time"),
        pytest.param('{"state": "running"}', "Unable to extract tag", id="without a kind"),
        pytest.param(b"x" * (MAX_ENTRY_BYTES + 1), f"more than {MAX_ENTRY_BYTES}", id="too long"),
        pytest.param(
            '{"kind":"metrics","time":"2026-01-01T12:00:00Z","source":"Kafka","taskId":"a","tryNumber":1,"metrics":{"x":"NaN"}}',
            "valid number",
            id="no number",
        ),
    ],
)
def test_a_line_that_is_no_entry_is_refused_with_the_reason(line: str | bytes, why: str) -> None:
    with pytest.raises(ValueError, match="a line of the history") as caught:
        parse_entry(line)
    assert why in str(caught.value)


def test_a_graph_reads_back() -> None:
    graph = RunGraph(
        dag_id="train",
        dag_run_id="mljob.a.b.abcdefghij-1",
        state="running",
        tasks=[
            GraphTask(id="load", label="load", state="success", try_number=1),
            GraphTask(
                id="cv.fit",
                label="fit",
                group="cv",
                mapped=MappedTasks(total=40, states={"success": 12}),
                counts="12/40",
            ),
        ],
        edges=[GraphEdge(source="load", target="cv.fit")],
    )
    text = graph.model_dump_json(by_alias=True, exclude_none=True)
    assert '"apiVersion":"run.mljob.dev/v1alpha1","kind":"RunGraph"' in text
    assert RunGraph.model_validate_json(text) == graph


def test_a_path_names_namespace_mljob_and_subresource() -> None:
    assert run_path("team-a", "digits.v2", RunSubresource.LOG) == (
        "/apis/run.mljob.dev/v1alpha1/namespaces/team-a/mljobs/digits.v2/log"
    )
    assert "/mljobs/a%2F..%2Fb/graph" in run_path("team-a", "a/../b", RunSubresource.GRAPH)
    assert run_path("team-a", "digits", RunSubresource.EVENTS, watch=True) == (
        "/apis/run.mljob.dev/v1alpha1/watch/namespaces/team-a/mljobs/digits/events"
    )


@pytest.mark.parametrize("task_id", ["fit", "group.fit-1", "größe"])
def test_position_in_a_log_survives(task_id: str) -> None:
    position = LogPosition(2, task_id, 7, 3, 12_345)
    assert LogPosition.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "1/fit/-1/1", "1/fit/-1/1/-5", "1/a b/-1/1/5", "1/../../x/-1/1/5", "1/fit/-1/1/٣", "1/fit/-1/1/5\n"]
)
def test_text_that_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        LogPosition.parse(text)
