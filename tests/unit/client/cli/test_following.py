"""The commands `watch` and `wait` of `kubectl mljob`."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from mljob import Client
from mljob.changes import Change, Known, Outage, State
from mljob.cli import following, live
from mljob.cli.screen import Line, Screen
from mljob.cli.session import Session, goes_on
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import Status, cancelled, failed, refused, running, stalled, succeeded

ENDINGS = [(succeeded, 0), (failed, 1), (stalled, 1), (cancelled, 2)]
COMMANDS = pytest.mark.parametrize("command", ["wait", "watch"])


def when_watched(cluster: MLJobCluster, *changes: Callable[[], Any]) -> None:
    """Make ``cluster`` call the functions ``changes`` once, just before the cluster answers the
    first watch request.
    """
    left = list(changes)

    def interfere(asked: Asked) -> None:
        if asked.query.get("watch") == "true":
            while left:
                left.pop(0)()

    cluster.interfere = interfere


@COMMANDS
@pytest.mark.parametrize(("ending", "code"), ENDINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_exit_code_says_how_the_mljob_ended(
    command: str, ending: Any, code: int, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=running())
    when_watched(cluster, lambda: cluster.put("digits", status=ending()))
    assert plugin(command, "digits").code == code


@COMMANDS
@pytest.mark.parametrize(("ending", "code"), ENDINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_mljob_that_has_ended_needs_no_watch(
    command: str, ending: Any, code: int, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=ending())
    assert plugin(command, "mljob.mljob.dev/digits").code == code
    assert cluster.count("watch") == 0


@COMMANDS
def test_mljob_that_is_deleted_counts_as_cancelled(command: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    when_watched(cluster, lambda: cluster.remove("digits"))
    told = plugin(command, "digits")
    assert told.code == 2
    assert "was deleted before it ended" in told.out + told.err


@COMMANDS
def test_refused_change_of_the_spec_is_no_success_and_is_explained(
    command: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=refused(), generation=2)
    told = plugin(command, "digits")
    assert told.code == 1
    assert "The run succeeded. conf changed after the run was submitted." in told.out


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [(succeeded, 0, "Succeeded"), (failed, 1, "no data"), (stalled, 2, "was deleted before it ended")],
)
def test_end_that_was_read_before_the_deletion_counts(
    ending: Callable[..., Status], code: int, said: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=ending(reason="Succeeded") if ending is succeeded else ending())

    def interfere(asked: Asked) -> None:
        if asked.path.endswith("/mljobs") and cluster.all():  # the list with which the watch begins
            cluster.remove("digits")

    cluster.interfere = interfere
    told = plugin("wait", "digits")
    assert (told.code, said in told.out) == (code, True)


@COMMANDS
def test_timeout_has_its_own_code_and_says_that_the_mljob_goes_on(
    command: str, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=running())
    told = plugin(command, "digits", "--timeout=10ms")
    assert told.code == 3
    assert "goes on" in told.out + told.err


@COMMANDS
@pytest.mark.parametrize(("ending", "code"), ENDINGS, ids=lambda value: getattr(value, "__name__", ""))
def test_mljob_that_had_ended_before_the_wait_has_not_timed_out(
    command: str, ending: Any, code: int, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status=ending())
    told = plugin(command, "digits", "--timeout=0")
    assert told.code == code
    assert "did not end" not in told.out + told.err


def test_wait_for_several_without_time_tells_those_that_have_ended(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("a", status=failed())
    cluster.put("b", status=running())
    told = plugin("wait", "a", "b", "--timeout=0")
    assert told.code == 1
    first, second = told.out.splitlines()
    assert "ValueError: no data" in first
    assert "It did not end within 0 seconds, and goes on." in second


def test_wait_by_names_stores_no_other_mljobs(
    cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c", "d"):
        cluster.put(name, status=running())
    when_watched(
        cluster,
        lambda: cluster.put("c", status=succeeded()),
        lambda: cluster.put("a", status=succeeded()),
        lambda: cluster.put("b", status=succeeded()),
    )
    stored: set[str] = set()

    class Spy(Known[Any]):
        def put(self, state: State[Any]) -> list[Change[Any]]:
            if state.item is not None:
                stored.add(state.item.name)
            return super().put(state)

    monkeypatch.setattr("mljob.sync.watch.Known", Spy)
    assert plugin("wait", "a", "b").code == 0
    assert stored == {"a", "b"}


def refuse_watches(cluster: MLJobCluster, times: int) -> None:
    """Make ``cluster`` refuse the first ``times`` watch requests. Before the cluster answers the next
    watch request, the MLJob digits succeeds.
    """

    def interfere(asked: Asked) -> Answer | None:
        if asked.query.get("watch") != "true":
            return None
        if cluster.count("watch") <= times:
            return refusal(503, message="The API server restarts.")
        cluster.put("digits", status=succeeded())
        return None

    cluster.interfere = interfere


@COMMANDS
def test_outage_is_one_line_on_standard_error(command: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    refuse_watches(cluster, times=3)
    told = plugin(command, "digits")
    assert told.code == 0
    assert "Not live" not in told.out
    assert re.fullmatch(r"Not live since \d\d:\d\d:\d\d UTC: The API server restarts\..*\n", told.err)


def test_quiet_wait_does_not_tell_outages(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running())
    refuse_watches(cluster, times=3)
    assert plugin("wait", "digits", "--quiet") == (0, "", "")


@COMMANDS
def test_timeout_during_an_outage_does_not_say_that_the_mljob_goes_on(
    command: str, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.put("digits", status=running())
    refuse_watches(cluster, times=2)
    # The hour is over when the second watch request is refused.
    monkeypatch.setattr("mljob.sync.watch.monotonic", lambda: monotonic() + 7200 * (cluster.count("watch") > 1))
    told = plugin(command, "digits", "--timeout=1h")
    said = (told.out + told.err).splitlines()[-1] if command == "watch" else told.out
    assert told.code == 3
    assert "goes on" not in told.out + told.err
    assert re.search(r"or its end was not read\. Not live since \d\d:\d\d:\d\d UTC: The API server restarts\.", said)


def test_live_page_says_since_when_the_connection_is_lost(
    cluster: MLJobCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [{"taskId": f"task-{number}", "state": "failed", "error": {"message": "boom"}} for number in range(60)]
    cluster.put("digits", status=running(tasks=tasks))
    refuse_watches(cluster, times=1)
    pages: list[list[str]] = []

    @contextmanager
    def drawn(_: Screen, lines: Callable[[], list[Line]]) -> Iterator[None]:
        def changed(page: live.JobPage, outage: Outage | None) -> None:
            set_outage(page, outage)
            pages.append(["".join(piece.text for piece in line) for line in lines()])

        set_outage = live.JobPage.set_outage
        monkeypatch.setattr(live.JobPage, "set_outage", changed)
        yield

    monkeypatch.setattr(live, "drawn", drawn)
    monkeypatch.setenv("LINES", "24")
    screen = Screen(io.StringIO())
    screen.is_terminal = True
    assert live.follow(client.get("digits"), screen, None).phase == "Succeeded"
    during, after = pages
    assert during[-1].startswith("Not live since")
    assert len(during) <= 23
    assert not [line for line in after if "Not live" in line]


@COMMANDS
def test_missing_mljob_is_an_error_that_says_where_to_look(command: str, plugin: Plugin) -> None:
    told = plugin(command, "digits", "-n", "team-b")
    assert told.code == 4
    assert "no MLJob 'digits' in namespace team-b" in told.err
    assert "kubectl mljob list -n team-b" in told.err


def test_wait_for_several_tells_each_as_it_ends(cluster: MLJobCluster, plugin: Plugin) -> None:
    for name in ("a", "b", "c"):
        cluster.put(name, status=running(), labels={"team": "vision"})
    when_watched(
        cluster,
        lambda: cluster.put("b", status=succeeded(message="The run succeeded.")),
        lambda: cluster.put("c", status=failed()),
        lambda: cluster.put("a", status=cancelled()),
    )
    told = plugin("wait", "-l", "team=vision")
    assert told.code == 1
    assert [line.split()[0] for line in told.out.splitlines()] == ["b", "c", "a"]
    assert "ValueError: no data" in told.out
    assert cluster.count("watch") == 1


@pytest.mark.parametrize(
    ("endings", "code"),
    [
        ((succeeded, succeeded), 0),
        ((succeeded, cancelled), 2),
        ((cancelled, failed), 1),
        ((succeeded, running), 3),
        ((cancelled, running), 3),
        ((failed, running), 1),
    ],
)
def test_worst_end_decides_for_several(
    endings: tuple[Any, ...], code: int, cluster: MLJobCluster, plugin: Plugin
) -> None:
    names = [f"job-{number}" for number, _ in enumerate(endings)]
    for name, ending in zip(names, endings, strict=True):
        cluster.put(name, status=ending())
    assert plugin("wait", *names, "--timeout=50ms", "--quiet") == (code, "", "")


def pending(reason: str, message: str) -> Status:
    return {**running(), "phase": "Pending", "reason": reason, "message": message}


@pytest.mark.parametrize(("options", "shown"), [((), True), (("--quiet",), False)])
def test_wait_tells_each_message_of_an_mljob_that_is_held_up_once(
    options: tuple[str, ...], shown: bool, cluster: MLJobCluster, plugin: Plugin
) -> None:
    unknown, paused = "Airflow knows no DAG 'train_modle'.", "The DAG is paused."
    cluster.put("digits", status=pending("DagNotFound", unknown))
    when_watched(
        cluster,
        lambda: cluster.put(
            "digits", status=pending("DagNotFound", unknown) | {"lastEventTime": "2026-01-01T00:00:09Z"}
        ),
        lambda: cluster.put("digits", status=running(reason="DagPaused", message=paused)),
        lambda: cluster.put("digits", status=pending("DagNotFound", unknown)),
        lambda: cluster.put("digits", status=succeeded()),
    )
    told = plugin("wait", "digits", *options)
    assert told.code == 0
    lines = [f"MLJob digits waits: {message}" for message in (unknown, paused)]
    assert told.err.splitlines() == (lines if shown else [])
    assert len(told.out.splitlines()) == shown


@pytest.mark.parametrize(
    ("status", "suspend", "shown"),
    [
        ({"phase": "Suspended", "reason": "Suspended"}, True, True),
        pytest.param({"phase": "Suspended", "reason": "Suspended"}, False, False, id="just resumed"),
        ({"phase": "Suspended", "reason": "Resuming"}, False, False),
        ({"phase": "Cancelling", "reason": "Suspending"}, True, False),
        ({"phase": "Queued", "reason": "RunsVanished"}, False, True),
        ({"phase": "Running", "reason": "RunsVanished"}, False, True),
        ({"phase": "Pending", "reason": "RetryBackoff"}, False, True),
    ],
)
def test_wait_tells_the_message_while_a_problem_or_a_person_holds_the_mljob_up(
    status: Status, suspend: bool, shown: bool, cluster: MLJobCluster, plugin: Plugin
) -> None:
    cluster.put("digits", status={**running(), **status, "message": "The MLJob waits."})
    cluster.patch("digits", {"spec": {"suspend": suspend}})
    when_watched(cluster, lambda: cluster.put("digits", status=succeeded()))
    told = plugin("wait", "digits")
    assert (told.code, told.err) == (0, "MLJob digits waits: The MLJob waits.\n" if shown else "")


def test_wait_tells_that_a_requested_retry_is_suspended(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed(), annotations={"mljob.dev/retry-requested-at": "1"})
    cluster.patch("digits", {"spec": {"suspend": True}})
    when_watched(cluster, lambda: cluster.put("digits", status=succeeded(lastHandledRetry="1")))
    told = plugin("wait", "digits")
    assert told.code == 0
    assert told.err.startswith("MLJob digits waits: The requested retry waits until the MLJob is resumed.")


@pytest.mark.parametrize("reason", ["Submitting", "ConcurrencyLimit", "WaitingForMLJob", "TaskRunning"])
def test_wait_tells_no_message_while_nothing_is_wrong(reason: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    phase = "Running" if reason == "TaskRunning" else "Pending"
    cluster.put("digits", status=pending(reason, "The MLJob goes on by itself.") | {"phase": phase})
    when_watched(cluster, lambda: cluster.put("digits", status=succeeded()))
    told = plugin("wait", "digits")
    assert (told.code, told.err) == (0, "")


@pytest.mark.parametrize("arguments", [(), ("digits", "-l", "a=b")])
def test_wait_needs_names_or_a_selector(arguments: tuple[str, ...], cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits")
    told = plugin("wait", *arguments)
    assert told.code == 64
    assert "Usage: kubectl mljob wait [OPTIONS] [NAME]...\n" in told.err
    assert "Name MLJobs, or select them by labels with -l, and not both." in told.err


def test_selector_that_matches_nothing_is_an_error(plugin: Plugin) -> None:
    told = plugin("wait", "-l", "team=nobody")
    assert told.code == 4
    assert "No MLJob in namespace team-a has the labels team=nobody." in told.err


@pytest.mark.parametrize("duration", ["", "soon", "5", "1d", "-5s", "5m3"])
def test_duration_that_is_none_is_a_wrong_option(duration: str, cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=succeeded())
    told = plugin("wait", "digits", f"--timeout={duration}")
    assert (told.code, "1h30m" in told.err) == ((0, False) if duration == "5" else (64, True))


def test_watch_prints_a_line_for_each_change_that_a_person_sees(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=running(reason="TaskRunning", currentTask="fit"))
    when_watched(
        cluster,
        lambda: cluster.put(
            "digits", status=running(reason="TaskRunning", currentTask="fit", lastEventTime="2026-01-01T00:00:09Z")
        ),
        lambda: cluster.put("digits", status=running("2/3", reason="TaskRunning", currentTask="evaluate")),
        lambda: cluster.put("digits", status=running("2/3", reason="DagPaused", message="The DAG is paused.")),
        lambda: cluster.put("digits", status=succeeded(reason="Succeeded", progress="3/3", outputs={"accuracy": 0.98})),
    )
    told = plugin("watch", "digits")
    lines = told.out.splitlines()
    shown = [line.split("s  ", 1)[1].split() for line in lines[: lines.index("")]]
    assert [line[1:] for line in shown] == [
        ["Running", "1/3", "fit"],
        ["Running", "2/3", "evaluate"],
        ["Running", "2/3", "DagPaused", "The", "DAG", "is", "paused."],
        ["Succeeded", "3/3", "-"],
    ]
    assert lines[-2:] == ["Outputs:", "  accuracy  0.98"]


def test_failed_mljob_names_the_command_that_says_why(cluster: MLJobCluster, plugin: Plugin) -> None:
    cluster.put("digits", status=failed())
    told = plugin("watch", "digits", "--namespace=team-a")
    assert told.out.rstrip().endswith("kubectl mljob why digits -n team-a")


@COMMANDS
def test_ctrl_c_says_that_the_mljob_goes_on(
    command: str, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    cluster.put("digits", status=running())
    monkeypatch.setattr(following, "exit_of", interrupted)
    monkeypatch.setattr(live, "change_line", interrupted)
    told = plugin(command, "digits", "-n", "team-a")
    assert told.code == 130
    assert "MLJob digits goes on. To follow again: kubectl mljob watch digits -n team-a" in told.err


@pytest.mark.parametrize(
    ("chosen", "command"),
    [
        (["digits", "letters"], "list --watch -n team-a"),
        (["-l", "team=vision"], "list --watch -l team=vision -n team-a"),
    ],
    ids=["names", "selector"],
)
def test_ctrl_c_names_a_command_that_follows_several_mljobs(
    chosen: list[str], command: str, cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("digits", "letters"):
        cluster.put(name, status=running(), labels={"team": "vision"})
    monkeypatch.setattr(following, "exit_of", interrupted)
    told = plugin("wait", *chosen, "-n", "team-a")
    assert told.code == 130
    assert told.err.rstrip().endswith(f"2 MLJobs go on. To follow again: kubectl mljob {command}")


def test_suggested_selector_is_quoted_for_the_shell() -> None:
    Session().follows(["digits", "letters"], "stage!=test")
    assert goes_on.get().endswith("kubectl mljob list --watch -l 'stage!=test'")
