from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from mljob_operator.core.conf.redaction import NOTHING_HIDDEN, Redaction
from mljob_operator.core.run.log_lines import MAX_LINE, MAX_UNREADABLE, WINDOW, EntryLines, LogEntry, lines, plain_lines

SECRET = "hunter2-and-more"


def shown(value: Any, *hidden: str) -> list[str]:
    return list(lines(LogEntry(value, 100), Redaction(frozenset(hidden))))


def test_an_entry_has_its_time_in_utc_its_level_and_its_further_fields() -> None:
    entry = {
        "timestamp": "2026-01-01T13:00:00.123456+01:00",
        "level": "warning",
        "event": "slow",
        "logger": "task",
        "rows": 12,
        "where": "a b",
    }
    assert shown(entry) == ["2026-01-01T12:00:00.123Z WARNING slow rows=12 where=a b"]


def test_an_entry_does_not_repeat_whose_log_it_is_in() -> None:
    of_the_try = {"dag_id": "train", "run_id": "r", "task_id": "fit", "map_index": -1, "try_number": 1, "ti_id": "0"}
    assert shown({"event": "loaded", **of_the_try, "rows": 12}) == ["loaded rows=12"]


@pytest.mark.parametrize("event", ["::group::Pre Execute", "::group::Post Execute", "::endgroup::"])
def test_marks_for_the_ui_are_left_out(event: str) -> None:
    assert shown({"event": event, "timestamp": "2026-01-01T00:00:00Z"}) == []


def test_a_traceback_reads_as_in_python_the_cause_first() -> None:
    frame = {"filename": "/dags/train.py", "lineno": 7, "name": "fit"}
    entry = {
        "event": "Task failed with exception",
        "error_detail": [
            {"exc_type": "ValueError", "exc_value": "3 columns missing", "frames": [frame], "is_cause": False},
            {"exc_type": "KeyError", "exc_value": "'age'", "frames": [], "is_cause": True},
        ],
    }
    # The second exception is the cause of the first one.
    assert shown(entry) == [
        "Task failed with exception",
        "KeyError: 'age'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/dags/train.py", line 7, in fit',
        "ValueError: 3 columns missing",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("\x1b[31mred\x1b[0m", ["red"], id="colours"),
        pytest.param("\x1b]0;title\x07text", ["text"], id="the title of a window"),
        pytest.param("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", ["link"], id="a link"),
        pytest.param("\x9b2Jgone", ["gone"], id="8-bit control sequence"),
        pytest.param("a\x1b", ["a"], id="a lone escape"),
        pytest.param("a\x00b\x08c\x7f", ["abc"], id="other controls"),
        pytest.param("10%\r20%\r\n30%", ["10%", "20%", "30%"], id="carriage returns"),
        pytest.param("a\u202ecod.exe", ["acod.exe"], id="reversed text"),
        pytest.param("a\ud800b", ["a?b"], id="a lone surrogate"),
        pytest.param("a\tb", ["a\tb"], id="a tab stays"),
    ],
)
def test_nothing_moves_the_cursor_of_a_terminal(text: str, expected: list[str]) -> None:
    assert shown({"event": text}) == expected


def test_values_from_secrets_are_redacted_in_events_fields_and_tracebacks() -> None:
    entry = {
        "event": f"token {SECRET}",
        "auth": SECRET,
        "error_detail": [{"exc_type": "E", "exc_value": f"bad {SECRET}", "frames": []}],
    }
    assert shown(entry, SECRET) == ["token *** auth=***", "E: bad ***"]


def test_a_colour_within_a_secret_does_not_hide_it_from_redaction() -> None:
    assert shown({"event": f"{SECRET[:5]}\x1b[1m{SECRET[5:]}"}, SECRET) == ["***"]


def test_the_beginning_of_a_secret_at_the_end_of_a_cut_field_is_redacted() -> None:
    text = "x" * 190 + SECRET
    (line,) = shown({"event": "e", "field": text}, SECRET)
    assert "hunter2" not in line


def test_a_long_line_is_cut_and_says_so() -> None:
    (line,) = shown({"event": "x" * (MAX_LINE + 1)})
    assert line == "x" * MAX_LINE + " (the rest of the line is left out)"


@pytest.mark.parametrize("offset", range(-len(SECRET) - 2, 3))
def test_no_part_of_a_secret_is_shown_at_the_end_of_a_window(offset: int) -> None:
    giant = "x" * (WINDOW + offset) + SECRET + "y" * WINDOW
    found = "".join(plain_lines(f"{giant}\nafter", Redaction(frozenset({SECRET}))))
    assert "hunter2" not in found
    assert "more" not in found
    assert found.endswith("after")


def test_windows_lose_no_line() -> None:
    text = "\n".join(f"line {number}" for number in range(20_000))
    assert list(plain_lines(text, NOTHING_HIDDEN)) == text.split("\n")


def test_an_entry_that_is_not_whole_says_how_large_it_is() -> None:
    found = list(lines(LogEntry({"event": "begin"}, 5_000_000, is_whole=False), NOTHING_HIDDEN))
    assert found == ["begin", "(The entry above has 5000000 bytes. The rest is left out.)"]


@pytest.mark.parametrize("value", ["a line of a log in another format", {"event": 7}, {"event": None}, [1], None, 3])
def test_an_entry_of_any_form_becomes_text(value: Any) -> None:
    assert all(isinstance(line, str) for line in shown(value))


HEADER = ["::group::Log message source details", "/opt/logs/1.log", "::endgroup::"]
UNREADABLE = [
    "Could not read served logs: refused",
    "Log file not found on worker 'w-1'. It may have run elsewhere.",
    "!!!! Please make sure that all components have the same 'secret_key'",
]


def lines_of(write: EntryLines, texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in write(LogEntry({"event": text}, 10))]


def test_header_about_the_sources_and_ends_of_groups_are_left_out() -> None:
    write = EntryLines(NOTHING_HIDDEN)
    texts = [*HEADER, "first", "::group::mine", "second", "::endgroup::"]
    assert lines_of(write, texts) == ["first", "mine", "second"]


@pytest.mark.parametrize("unreadable", [[], UNREADABLE[:1], UNREADABLE])
def test_entries_count_the_same_with_each_header(unreadable: list[str]) -> None:
    write = EntryLines(NOTHING_HIDDEN, skip=1)
    header = [*HEADER[:-1], *unreadable, HEADER[-1]]
    assert lines_of(write, [*header, "first", "second"]) == ["second"]
    assert (write.count, write.unreadable) == (2, unreadable)


def test_unreadable_sources_are_limited_and_redacted() -> None:
    write = EntryLines(Redaction(frozenset({SECRET})))
    lines_of(write, [HEADER[0], *(f"Could not read {SECRET}" for _ in range(100))])
    assert len(write.unreadable) == MAX_UNREADABLE
    assert not any(SECRET in line for line in write.unreadable)


def test_task_can_write_no_header() -> None:
    write = EntryLines(NOTHING_HIDDEN, has_header=False)
    assert lines_of(write, [*HEADER, "first"]) == ["Log message source details", "/opt/logs/1.log", "first"]
    assert write.count == 4


def test_entries_of_an_earlier_answer_are_skipped() -> None:
    write = EntryLines(NOTHING_HIDDEN, skip=2)
    assert [write(LogEntry({"event": text}, 10)) for text in "abc"] == [[], [], ["c"]]
