from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mljob_contract.mljob import MLJobSpec, MLJobStatus, Phase, StatusSource
from mljob_operator.core.conf.conf import Source, not_public, secrets
from mljob_operator.core.conf.redaction import _CUTS, HIDDEN, MAX_FORMS, NOTHING_HIDDEN, WITHHELD, Redaction, _Forms
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import State, classify
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import ParsedSpec, spec_hash
from mljob_operator.core.mljob.resource.stored_status import StoredStatus
from mljob_operator.core.mljob.transient_state import CancelRequests, LastError, TransientState
from mljob_operator.core.run.facts import Details, Failure, Question, Report, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, observe
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.build import report
from mljob_operator.core.status.events import events_of
from tests.large_statuses import RUN_ID, UI_URL
from tests.strategies import EPOCH

PASSWORD = "hunter2-correct-horse"
ODD = 'p&ss "wörd"\\/<1>'
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
DSN = "postgresql://ml:s3cr%40t-word@warehouse/db"


def hidden(*texts: str) -> Redaction:
    return Redaction(frozenset(texts))


@pytest.mark.parametrize("secret", [PASSWORD, ODD, "päss wörd", "it's", "a  b\tc", "two\nlines", "ключ-ключ"])
@pytest.mark.parametrize(
    "spell",
    [
        pytest.param(str, id="as it is"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(lambda text: json.dumps(text, ensure_ascii=False), id="JSON in Unicode"),
        pytest.param(lambda text: json.dumps(json.dumps({"a": text})), id="JSON in JSON"),
        pytest.param(repr, id="repr"),
        pytest.param(lambda text: repr({"a": [text]}), id="repr of a dict"),
        pytest.param(lambda text: repr(text.encode()), id="repr of bytes"),
        pytest.param(lambda text: repr(json.dumps(text).encode()), id="repr of JSON in bytes"),
        pytest.param(quote, id="quote"),
        pytest.param(lambda text: quote(text, safe=""), id="quote all"),
        pytest.param(quote_plus, id="quote_plus"),
        pytest.param(lambda text: base64.b64encode(text.encode()).decode(), id="base64"),
        pytest.param(lambda text: base64.urlsafe_b64encode(text.encode()).decode(), id="base64 for URLs"),
        pytest.param(lambda text: " ".join(text.split()), id="in one line"),
    ],
)
def test_a_secret_is_found_in_every_spelling(secret: str, spell: Any) -> None:
    spelled = spell(secret)
    redacted = hidden(secret).text(f"before {spelled} after")
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert HIDDEN in redacted
    assert secret not in redacted
    assert spelled.strip("\"'=") not in redacted


@pytest.mark.parametrize(
    ("secret", "text", "redacted"),
    [
        pytest.param(f"{PASSWORD}\n", f"bad {PASSWORD}!", "bad ***!", id="a newline at its end"),
        pytest.param(PASSWORD, PASSWORD, "***", id="the whole text"),
        pytest.param(PASSWORD, f"x{PASSWORD}x{PASSWORD}", "x***x***", id="inside a word, twice"),
        pytest.param(PASSWORD, f"{PASSWORD}{PASSWORD}", "***", id="beside itself"),
        pytest.param(PASSWORD, "nothing of it", "nothing of it", id="not there"),
        pytest.param(KEY, "key MIIEvQIBADANBgkqhkiG9w0B refused", "key *** refused", id="a line of a key"),
        pytest.param(KEY, "at BEGIN", "at BEGIN", id="less than a line"),
        pytest.param(DSN, "for s3cr%40t-word", "for ***", id="the password of a URL"),
        pytest.param(DSN, "for s3cr@t-word now", "for *** now", id="the password of a URL, unquoted"),
        pytest.param(DSN, "at warehouse:5432", "at warehouse:5432", id="the host of a URL"),
        pytest.param('{"user": "ml", "token": "abc-def"}', "token abc-def", "token ***", id="a value in JSON"),
        pytest.param("1", "exit code 1, 10 of 21", "exit code ***, 10 of 21", id="one digit"),
        pytest.param("eu", "neuron in eu-west", "neuron in ***-west", id="two letters"),
        pytest.param("", "nothing", "nothing", id="an empty value"),
        pytest.param("-", "a - b", "a - b", id="a sign"),
        pytest.param("  \n", "a  b", "a  b", id="blanks"),
        pytest.param("true", "untrue", "un***", id="four letters"),
    ],
)
def test_parts_of_a_value_are_found(secret: str, text: str, redacted: str) -> None:
    assert hidden(secret).text(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        pytest.param("refused hunter2-corr", "refused ***", id="at the end"),
        pytest.param("refused hunter2-corr…", "refused ***…", id="before our producer's mark"),
        pytest.param("refused hunter2-corr...", "refused ***...", id="before the operator's mark"),
        pytest.param("refused hunter2... Change it.", "refused ***... Change it.", id="amid a text"),
        pytest.param("refused hunt", "refused ***", id="four characters"),
        pytest.param("refused hun", "refused hun", id="three characters"),
        pytest.param("hunter2 refused", "hunter2 refused", id="no cut"),
        pytest.param(f"{PASSWORD} and hunter", "*** and ***", id="whole and cut"),
        pytest.param("hunt, hunt, hunter2-c", "hunt, hunt, ***", id="more than one beginning"),
    ],
)
def test_the_beginning_of_a_secret_is_found_where_a_text_was_cut(text: str, redacted: str) -> None:
    assert hidden(PASSWORD).text(text) == redacted


def test_overlapping_secrets_are_hidden_completely() -> None:
    assert hidden("abcdef", "abcdefgh", "fghijk").text("<abcdefghijk>") == "<***>"


@pytest.mark.parametrize(
    ("value", "redacted"),
    [
        ({PASSWORD: 1, "a": [PASSWORD, {"b": f"<{PASSWORD}>"}]}, {"***": 1, "a": ["***", {"b": "<***>"}]}),
        ([True, None, 0.5, 7], [True, None, 0.5, 7]),
        (123456, "***"),
        ((1, "x"), [1, "x"]),
    ],
)
def test_values_are_redacted_in_depth(value: Any, redacted: Any) -> None:
    assert hidden(PASSWORD, "123456").value(value) == redacted


def test_without_secrets_texts_are_the_same_object() -> None:
    text = "as it is"
    assert NOTHING_HIDDEN.text(text) is text
    assert NOTHING_HIDDEN.untrusted(text) is text


def test_texts_are_withheld_while_secrets_are_unknown() -> None:
    assert Redaction(frozenset({PASSWORD}), complete=False).untrusted("harmless") == WITHHELD
    assert Redaction(frozenset({PASSWORD}), complete=False).text(f"Airflow says {PASSWORD}") == "Airflow says ***"


def test_with_too_many_secrets_texts_are_withheld() -> None:
    many = Redaction(frozenset(f"value-{number}" for number in range(MAX_FORMS)))
    assert many.text("harmless") == WITHHELD


class TestWhichTextsAreSecret:
    def test_values_within_json_of_a_secret_are_secret(self) -> None:
        source = Source("Secret s", {"password": PASSWORD, "more.json": '{"deep": {"pin": 1234, "on": true}}'}, True)
        assert secrets([source]) == {PASSWORD, '{"deep": {"pin": 1234, "on": true}}', "1234"}

    def test_values_of_a_configmap_are_not_secret(self) -> None:
        assert secrets([Source("ConfigMap c", {"region": "eu-west"}, False)]) == set()

    def test_a_secret_with_broken_json_is_secret_as_it_is(self) -> None:
        assert secrets([Source("Secret s", {"more.json": "{oops"}, True)]) == {"{oops"}

    @pytest.mark.parametrize(
        ("conf", "own", "configmap", "found"),
        [
            pytest.param({"password": PASSWORD}, {}, {}, {PASSWORD}, id="nobody else gives it"),
            pytest.param({"a": "x"}, {"a": "x"}, {}, set(), id="the spec gives it"),
            pytest.param({"a": "x"}, {}, {"a": "x"}, set(), id="a ConfigMap gives it"),
            pytest.param({"a": "old"}, {"a": "new"}, {}, {"old"}, id="the spec gives another value"),
            pytest.param({"a": "old"}, {}, {"a": "new"}, {"old"}, id="the ConfigMap has changed"),
            pytest.param({"a": {"b": ["x", 7]}}, {}, {}, {"x", "7"}, id="an object"),
            pytest.param({"a": 1}, {}, {"m.json": '{"a": 1}'}, set(), id="a ConfigMap's object gives it"),
            pytest.param({"a": 1}, {}, {"m.json": "{oops"}, {"1"}, id="a ConfigMap that is broken by now"),
        ],
    )
    def test_a_value_from_no_other_source_may_be_from_a_secret(
        self, conf: dict[str, Any], own: dict[str, Any], configmap: dict[str, str], found: set[str]
    ) -> None:
        sources = [Source("ConfigMap c", configmap, False), Source("Secret s", {"password": "rotated"}, True)]
        assert not_public(conf, own, sources) == found


# Of the whole: whatever a situation holds, neither a status nor an Event quotes the secret.

alphabet = st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"])
values = st.text(alphabet, min_size=6, max_size=60).filter(lambda text: len("".join(text.split())) >= 6)
spellings: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, repr, json.dumps, lambda text: quote(text, safe="")]
)
endings = st.sampled_from([0, 1, 395, 399, 1000])


@st.composite
def quoting(draw: st.DrawFn, secret: str) -> str:
    text = "x" * draw(endings) + " " + draw(spellings)(secret) + " " + "y" * draw(endings)
    cut = draw(st.integers(0, len(text)) | st.none())
    return text if cut is None else text[:cut] + draw(st.sampled_from(["", "...", "…"]))


@st.composite
def situations(draw: st.DrawFn) -> tuple[str, State, Outputs | None]:
    secret = draw(values)
    text = quoting(secret)
    tasks = []
    for number, state in enumerate(draw(st.lists(st.sampled_from(list(TaskState)), min_size=1, max_size=4))):
        tasks.append(
            TaskFact(
                f"task{number}",
                draw(st.sampled_from([-1, 0])),
                1,
                state,
                StatusSource.KAFKA,
                EPOCH,
                EPOCH,
                details=Details(
                    metrics=Report(1, EPOCH, metrics={draw(text): 0.5}),
                    failure=Failure(1, EPOCH, draw(text), draw(st.none() | text)),
                    question=Question(1, draw(text)),
                ),
            )
        )
    run = RunFact(draw(st.sampled_from(list(RunState))), StatusSource.REST, EPOCH, EPOCH, queued_at=EPOCH)
    observed_run = observe(ObservedRun(), Snapshot(EPOCH, run=run, tasks=tuple(tasks), complete=True))
    last_error = LastError("AirflowError", draw(text), 1, EPOCH + timedelta(hours=1))
    transient = TransientState(
        last_error=draw(st.none() | st.just(last_error)),
        kept_by=draw(text),
        cancel_requests=CancelRequests(dag_refused=draw(text)),
        over_since=EPOCH,
    )
    spec = MLJobSpec(dag_id="train", backoff_limit=draw(st.sampled_from([0, 2])), cancel=draw(st.booleans()))
    status = MLJobStatus(
        phase=draw(st.sampled_from([Phase.PENDING, Phase.RUNNING, Phase.CANCELLING])),
        dag_id="train",
        dag_run_id=RUN_ID,
        attempts=1,
        spec_hash=spec_hash(spec),
        submit_time=draw(st.sampled_from([EPOCH, None])),
    )
    job = Job("team-a", "churn", "uid", 1, "1", (), None, EPOCH, ParsedSpec(spec), StoredStatus.of(status))
    outputs = draw(st.none() | st.builds(lambda one, two: Outputs({one: [two]}, (two,)), text, text))
    return secret, classify(Inputs(job, observed_run, transient, EPOCH + timedelta(seconds=60))), outputs


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(situations(), st.booleans())
def test_no_status_and_no_event_quotes_a_secret(made: tuple[str, State, Outputs | None], complete: bool) -> None:
    secret, situation, outputs = made
    # What the operator's own sentences say by chance is no leak.
    clean = report(situation, ui_url=UI_URL, redaction=Redaction(complete=False))
    assume(not any(part in json.dumps(clean, ensure_ascii=False) for part in _pieces(secret)))

    redaction = Redaction(frozenset({secret}), complete=complete)
    status = report(situation, ui_url=UI_URL, outputs=outputs, redaction=redaction)
    told = events_of(situation.job.status, MLJobStatus.model_validate(status))

    for text in [*_strings(status), *(notice.message for notice in told)]:
        for piece in _pieces(secret):
            assert piece not in text


def _pieces(secret: str) -> list[str]:
    return [secret.strip(), repr(secret.strip())[1:-1], json.dumps(secret.strip())[1:-1]]


def _strings(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for key, item in value.items() for text in [key, *_strings(item)]]
        case list():
            return [text for item in value for text in _strings(item)]
        case _:
            return []


LINES = [f"{number * 7919 % 100_003:05}&'key' of a file" for number in range(500)]


class SearchedText(str):
    __slots__ = ("searches",)
    searches: int

    def find(self, *args: Any) -> int:
        self.searches = getattr(self, "searches", 0) + 1
        return super().find(*args)

    def __contains__(self, part: object) -> bool:
        self.searches = getattr(self, "searches", 0) + 1
        return isinstance(part, str) and super().__contains__(part)


def test_text_is_not_searched_for_each_line_of_a_long_secret() -> None:
    redaction = Redaction(frozenset({"\n".join(LINES)}))
    assert redaction.text(f"no such key: {LINES[400]}.") == "no such key: ***."
    assert redaction.text(f"no such key: {LINES[400][:12]}...") == "no such key: ***..."
    failure = SearchedText(f"Task 1 failed: {'some words of an exception, ' * 36}")
    assert redaction.text(failure) == failure
    assert getattr(failure, "searches", 0) == 0
    quoting = SearchedText(f"another key: {LINES[400]}.")
    assert redaction.text(quoting) == "another key: ***."
    assert 0 < quoting.searches < 50


def test_beginnings_of_a_secret_are_looked_up_at_few_cuts_of_a_text() -> None:
    redaction = Redaction(frozenset({"\n".join("a" * 40 + line for line in LINES)}))
    text = "a" * 980 + "!" + "... aaaa" * 50
    with mock.patch.object(_Forms, "_is_beginning", autospec=True, side_effect=_Forms._is_beginning) as is_beginning:
        assert "!" in redaction.text(text)
    assert 0 < is_beginning.call_count <= _CUTS * len(text)
