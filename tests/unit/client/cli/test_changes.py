"""The commands `retry`, `cancel`, `suspend` and `resume` of `kubectl mljob`."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tests.fakes.mljob_cluster import Asked, MLJobCluster, refusal
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import cancelled, failed, refused, running, succeeded


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_retry_sets_the_annotation_of_each(cluster: MLJobCluster, plugin: Plugin) -> None:
    for name in ("a", "b"):
        cluster.put(name, status=failed(), labels={"team": "vision"})
    told = plugin("retry", "-l", "team=vision")
    assert told == (0, "mljob.mljob.dev/a retry requested\nmljob.mljob.dev/b retry requested\n", "")
    assert all("mljob.dev/retry-requested-at" in cluster.get(name)["metadata"]["annotations"] for name in ("a", "b"))


@pytest.mark.parametrize("kind", ["mljob", "mljobs", "mlj", "MLJob", "mljob.mljob.dev", "mljobs.v1alpha1.mljob.dev"])
def test_name_may_have_its_kind_as_in_kubectl(kind: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    assert plugin("retry", f"{kind}/digits").out == "mljob.mljob.dev/digits retry requested\n"


@pytest.mark.parametrize("name", ["", "mljob/"])
@pytest.mark.parametrize(
    "command",
    ["watch", "wait", "why", "logs", "tree", "open", "retry", "cancel", "suspend", "resume", "compare"],
)
def test_empty_name_is_a_wrong_argument(command: str, name: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    told = plugin(command, name)
    assert (told.code, told.out, cluster.asked) == (64, "", [])
    assert "The name of an MLJob is empty." in told.err


@pytest.mark.parametrize("name", ["pod/digits", "mljob/a/digits", "pod/mljob/digits", "/digits", "digits/"])
def test_name_of_another_kind_is_refused(name: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    told = plugin("retry", name)
    assert told.code == 64
    assert f"'{name}' is not the name of an MLJob" in told.err
    assert "annotations" not in cluster.get("digits")["metadata"]


def test_retry_of_a_suspended_mljob_says_what_it_waits_for(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    cluster.patch("digits", {"spec": {"suspend": True}})
    cluster.put("other", status=failed())
    told = plugin("retry", "digits", "other", "-n", "team-a")
    assert told.out == "mljob.mljob.dev/digits retry requested\nmljob.mljob.dev/other retry requested\n"
    assert told.err == (
        "mljob.mljob.dev/digits is suspended. The retry waits for: kubectl mljob resume digits -n team-a\n"
    )


@pytest.mark.parametrize("option", ["--wait", "--watch"])
def test_retry_that_waits_has_the_code_of_the_new_attempt(option: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())

    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            requested = cluster.get("digits")["metadata"]["annotations"]["mljob.dev/retry-requested-at"]
            cluster.put("digits", status=succeeded(lastHandledRetry=requested))

    cluster.interfere = operator
    told = plugin("retry", "digits", option)
    assert told.code == 0
    assert "Succeeded" in told.out
    assert "✘" not in told.out
    assert "! Failed" not in told.out


@pytest.mark.parametrize("command", ["retry", "resume"])
def test_waiting_for_selected_mljobs_watches_only_these(command: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    watched: list[str | None] = []

    def operator(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            watched.append(asked.query.get("labelSelector"))
            for name in ("a", "b"):
                cluster.put(name, status=cancelled())

    for name in ("a", "b"):
        cluster.put(name, status=failed(), labels={"team": "vision"})
    cluster.interfere = operator
    told = plugin(command, "-l", "team=vision", "--wait")
    assert (told.code, watched) == (2, ["team=vision"])


@pytest.mark.parametrize(
    ("spec", "waits"), [({}, "for the operator"), ({"suspend": True}, "until the MLJob is resumed")]
)
def test_retry_that_is_not_handled_is_not_shown_as_a_new_failure(
    spec: dict[str, Any], waits: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=failed())
    cluster.patch("digits", {"spec": spec})
    told = plugin("retry", "digits", "--watch", "--timeout=10ms")
    assert told.code == 3
    first = told.out.splitlines()[1].split("s  ", 1)[1].split(None, 1)[1]
    assert first.startswith("Retry waits")
    assert f"The requested retry waits {waits}. The attempt before: Task fit failed: ValueError: no data" in first
    assert "Retry waits" in plugin("list").out
    why = plugin("why", "digits").out
    assert f"The requested retry waits {waits}." in why
    assert "kubectl mljob retry" not in why
    assert ("kubectl mljob resume digits" in why) is bool(spec)


def test_retry_of_a_cancelled_mljob_is_refused_with_the_reason(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=cancelled())
    cluster.put("other", status=failed())
    told = plugin("retry", "digits", "other")
    assert told.code == 4
    assert "mljob.mljob.dev/digits" in told.err
    assert "final" in told.err
    assert told.out == "mljob.mljob.dev/other retry requested\n"


@pytest.mark.parametrize(
    ("command", "field", "value", "said"),
    [
        ("cancel", "cancel", True, "cancellation requested"),
        ("suspend", "suspend", True, "suspended"),
        ("resume", "suspend", False, "resumed"),
    ],
)
def test_command_sets_its_field(
    command: str, field: str, value: bool, said: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=running())
    assert plugin(command, "digits") == (0, f"mljob.mljob.dev/digits {said}\n", "")
    assert cluster.get("digits")["spec"][field] is value


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 130), ("\n", 130), ("", 130)])
def test_cancel_asks_a_person_and_names_what_ends(
    answer: str, code: int, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    cluster.put("digits", status=running(dagRunId="mljob.team-a.digits.x-1", taskCounts={"running": 2}))
    told = plugin("cancel", "digits")
    assert told.code == code
    assert "its run mljob.team-a.digits.x-1 is cancelled in Airflow; 2 of its tasks are running." in told.err
    assert cluster.get("digits")["spec"].get("cancel", False) is (code == 0)


def test_cancel_with_yes_does_not_ask(cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(""))
    cluster.put("digits", status=running())
    assert plugin("cancel", "digits", "--yes").code == 0


@pytest.mark.parametrize("ending", [succeeded, failed, cancelled, refused], ids=lambda ending: ending.__name__)
def test_cancel_leaves_an_mljob_that_has_ended(ending: Any, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=ending())
    told = plugin("cancel", "digits")
    assert (told.code, told.out) == (0, "")
    assert "has ended" in told.err
    assert cluster.count("PATCH") == 0


def test_refusal_names_the_mljob_and_the_others_are_changed(cluster: MLJobCluster, plugin: Plugin) -> None:
    for name in ("a", "b"):
        cluster.put(name, status=running())
    cluster.interfere = lambda asked: (
        refusal(403, "Forbidden", 'cannot patch resource "mljobs"')
        if asked.method == "PATCH" and asked.path.endswith("/a")
        else None
    )
    told = plugin("suspend", "a", "b")
    assert told.code == 4
    assert 'mljob.mljob.dev/a: cannot patch resource "mljobs"' in told.err
    assert told.out == "mljob.mljob.dev/b suspended\n"


def test_suspension_of_a_finished_mljob_says_what_it_holds_back(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=succeeded())
    told = plugin("suspend", "digits")
    assert told == (
        0,
        "mljob.mljob.dev/digits suspended\n",
        "mljob.mljob.dev/digits has ended: Succeeded. While it is suspended, a retry waits.\n",
    )
