from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from mljob import (
    AsyncClient,
    Client,
    Job,
    JobCancelled,
    JobDeleted,
    JobError,
    JobFailed,
    JobStalled,
    JobTimeout,
    errors,
)
from mljob.aio.transport import AsyncTransport
from mljob.changes import Outage
from mljob.kubeconfig import ClusterConfig
from mljob.resource import RETRY_REQUESTED_AT
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal
from tests.live.eventually import eventually
from tests.unit.client.statuses import Status, cancelled, failed, refused, running, stalled, succeeded

LOG = b"\n".join(b"line %d" % number for number in range(100)) + b"\n\x1b[31mTraceback\x1b[0m\n"


@pytest.fixture
def job(cluster: MLJobCluster, client: Client) -> Job:
    cluster.put("train", status=running())
    return client.get("train")


def after_watched(cluster: MLJobCluster, act: Callable[[], object]) -> threading.Thread:
    def wait_and_act() -> None:
        eventually(lambda: cluster.count("watch"), "watched", every=0.005)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


@pytest.fixture
def when_watched(cluster: MLJobCluster) -> Iterator[Callable[[Callable[[], object]], None]]:
    threads: list[threading.Thread] = []
    yield lambda act: threads.append(after_watched(cluster, act))
    for thread in threads:
        thread.join(10)


WhenWatched = Callable[[Callable[[], object]], None]


def test_wait_returns_when_the_job_has_succeeded(cluster: MLJobCluster, job: Job, when_watched: WhenWatched) -> None:
    when_watched(lambda: cluster.put("train", status=succeeded(outputs={"accuracy": 0.9})))

    assert job.wait(timeout=180) is job
    assert job.outputs == {"accuracy": 0.9}


def test_wait_for_a_finished_job_needs_no_watch(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=succeeded())

    job.wait(timeout=180)

    assert cluster.count("watch") == 0


def test_failed_job_raises_with_task_error_and_the_end_of_its_log(
    cluster: MLJobCluster, job: Job, when_watched: WhenWatched
) -> None:
    cluster.runs["team-a/train/log"] = lambda _: Answer(200, LOG)
    when_watched(lambda: cluster.put("train", status=failed()))

    with pytest.raises(JobFailed, match="Task fit failed: ValueError: no data") as raised:
        job.wait(timeout=180)

    error = raised.value
    assert (error.reason, error.task, error.error, error.map_index) == ("TaskFailed", "fit", "ValueError: no data", -1)
    assert len(error.log) == 20
    assert error.log[-1] == "Traceback"
    assert "line 99" in str(error)
    assert not isinstance(error, JobStalled)
    asked = cluster.asked[-1]
    assert dict(asked.query) == {"task": "fit", "tail": "1000"}


def test_failed_job_tells_the_error_of_the_status_and_the_traceback_before_much_noise(
    cluster: MLJobCluster, job: Job
) -> None:
    traceback = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no data"]
    noise = [f"2026-01-01T00:00:00.000Z INFO    {number}" for number in range(300)]
    lines = "".join(f"{line}\n" for line in [*noise, *traceback, *noise])
    cluster.runs["team-a/train/log"] = lambda _: Answer(200, lines.encode())
    cluster.put("train", status=failed(message="The run failed."))

    with pytest.raises(JobFailed, match="The error of task fit: ValueError: no data") as raised:
        job.wait(timeout=180)

    assert list(raised.value.log[-3:]) == traceback
    assert len(raised.value.log) == 20
    assert "before 300 others" in str(raised.value)


def test_failed_instance_of_a_mapped_task_is_named(cluster: MLJobCluster, job: Job) -> None:
    asked: list[Asked] = []

    def log(request: Asked) -> Answer:
        asked.append(request)
        return Answer(200, b"oh\n")

    cluster.runs["team-a/train/log"] = log
    tasks = [{"taskId": "score", "state": "failed", "mapped": {"total": 9, "failedIndexes": [4, 7]}}]
    cluster.put("train", status=failed(tasks=tasks, currentTask="score"))

    with pytest.raises(JobFailed) as raised:
        job.wait()

    assert raised.value.map_index == 4
    assert asked[0].query["mapIndex"] == "4"


@pytest.mark.parametrize(
    "answer", [None, refusal(403, "Forbidden", "no"), refusal(502, "BadGateway", "Airflow is down")]
)
def test_failed_job_raises_also_if_its_log_cannot_be_read(
    cluster: MLJobCluster, job: Job, answer: Answer | None
) -> None:
    if answer is not None:
        cluster.runs["team-a/train/log"] = lambda _: answer
    cluster.put("train", status=failed())

    with pytest.raises(JobFailed) as raised:
        job.wait()

    assert raised.value.log == ()


def test_failed_job_raises_also_if_its_log_never_comes(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hang(_: Asked) -> Answer:
        released.wait(30)
        return Answer(200, b"late\n")

    monkeypatch.setattr("mljob.sync.job._LOG_TAIL_SECONDS", 0.1)
    cluster.runs["team-a/train/log"] = hang
    cluster.put("train", status=failed())

    with pytest.raises(JobFailed) as raised:
        job.wait()
    released.set()

    assert raised.value.log == ()


def test_cancelled_job_raises(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=cancelled())

    with pytest.raises(JobCancelled, match=r"spec\.cancel is true"):
        job.wait()


def test_refused_conf_ends_the_wait_with_what_to_change(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=stalled())

    with pytest.raises(JobStalled, match="'many' is not of type 'integer'"):
        job.wait()


def test_refused_change_of_the_spec_ends_the_wait_although_the_earlier_spec_succeeded(
    cluster: MLJobCluster, job: Job
) -> None:
    cluster.put("train", status=refused(), generation=2)

    with pytest.raises(JobStalled, match="can't go on: conf changed after the run was submitted") as raised:
        job.wait(timeout=180)

    assert raised.value.reason == "RunPolicyOnce"


def test_deletion_ends_the_wait(cluster: MLJobCluster, job: Job, when_watched: WhenWatched) -> None:
    when_watched(lambda: cluster.remove("train"))

    with pytest.raises(JobDeleted, match="team-a/train was deleted before it ended"):
        job.wait(timeout=180)


def test_cancellation_because_of_a_deletion_is_a_deletion(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=cancelled(), deletionTimestamp="2026-01-01T00:00:00Z")

    with pytest.raises(JobDeleted):
        job.wait(timeout=180)


def test_deletion_before_the_wait_ends_it(cluster: MLJobCluster, job: Job) -> None:
    cluster.remove("train")

    with pytest.raises(JobDeleted):
        job.wait(timeout=180)


def test_deletion_of_a_finished_job_during_an_outage_is_no_success(
    cluster: MLJobCluster, job: Job, when_watched: WhenWatched
) -> None:
    def vanish() -> None:
        cluster.remove("train")
        cluster.compact()
        cluster.cut()

    when_watched(vanish)

    with pytest.raises(JobDeleted):
        job.wait(timeout=180)


def test_finished_job_that_is_deleted_at_once_has_succeeded(
    cluster: MLJobCluster, job: Job, when_watched: WhenWatched
) -> None:
    def finish() -> None:
        cluster.put("train", status=succeeded())
        cluster.remove("train")

    when_watched(finish)

    job.wait(timeout=180)


def test_end_that_was_read_before_the_deletion_counts(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=succeeded(outputs={"accuracy": 0.9}))
    job.refresh()
    cluster.remove("train")

    assert job.wait(timeout=180).outputs == {"accuracy": 0.9}
    assert [state.phase for state in job.stream(timeout=180)] == ["Succeeded"]


@pytest.mark.parametrize(("ending", "error"), [(failed, JobFailed), (cancelled, JobCancelled)])
def test_failure_that_was_read_before_the_deletion_counts(
    ending: Callable[[], Status], error: type[JobError], cluster: MLJobCluster, job: Job
) -> None:
    cluster.put("train", status=ending())
    job.refresh()
    cluster.remove("train")

    with pytest.raises(error) as raised:
        job.wait(timeout=180)

    assert not isinstance(raised.value, JobDeleted)


def test_deletion_before_a_requested_retry_has_ended_says_so(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=succeeded())
    job.retry()
    cluster.remove("train")

    with pytest.raises(JobDeleted, match=r"deleted before it had run again\. Its last phase was Succeeded"):
        job.wait(timeout=180)


def test_deletion_of_a_stalled_job_is_a_deletion(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=stalled())
    job.refresh()
    cluster.remove("train")

    with pytest.raises(JobDeleted, match="deleted before it ended"):
        job.wait(timeout=180)


def test_another_job_of_the_same_name_is_not_waited_for(cluster: MLJobCluster, job: Job) -> None:
    cluster.remove("train")
    cluster.put("train", status=succeeded())

    with pytest.raises(JobDeleted):
        job.wait(timeout=180)
    with pytest.raises(errors.NotFound, match="another one"):
        job.refresh()
    with pytest.raises(errors.NotFound, match="another one"):
        job.cancel()


def test_wait_ends_at_its_timeout_and_says_that_the_job_goes_on(cluster: MLJobCluster, job: Job) -> None:
    with pytest.raises(JobTimeout, match=r"did not end within 0\.2 seconds, and goes on.*Running") as raised:
        job.wait(timeout=0.2)

    assert isinstance(raised.value, TimeoutError)
    assert raised.value.job.phase == "Running"


def test_job_that_had_ended_when_it_was_read_has_not_timed_out(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=succeeded())
    job.refresh()

    assert job.wait(timeout=0) is job
    assert [state.phase for state in job.stream(timeout=0)] == ["Succeeded"]


def test_timeout_during_an_outage_says_since_when_the_connection_is_lost(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.interfere = lambda asked: refusal(503) if asked.query.get("watch") else None
    # The hour is over when the second watch request is refused.
    monkeypatch.setattr("mljob.sync.watch.monotonic", lambda: monotonic() + 7200 * (cluster.count("watch") > 1))

    with pytest.raises(JobTimeout, match=r"end was not read\. Not live since .* last known phase is Running") as raised:
        job.wait(timeout=3600)

    assert "goes on" not in str(raised.value)


def test_stream_tells_the_begin_and_the_end_of_an_outage(
    cluster: MLJobCluster, job: Job, when_watched: WhenWatched
) -> None:
    told: list[Outage | None] = []

    def on_outage(outage: Outage | None) -> None:
        told.append(outage)
        if outage is None:
            cluster.put("train", status=succeeded())

    when_watched(cluster.cut)

    assert [state.phase for state in job.stream(timeout=180, on_outage=on_outage)] == ["Running", "Succeeded"]
    begun, ended = told
    assert begun is not None
    assert begun.cause
    assert ended is None


def test_wait_survives_a_lost_connection(cluster: MLJobCluster, job: Job, when_watched: WhenWatched) -> None:
    def lose_and_finish() -> None:
        cluster.cut()
        cluster.put("train", status=succeeded())
        cluster.compact()

    when_watched(lose_and_finish)

    job.wait(timeout=180)


def test_stream_gives_each_state_until_the_end(cluster: MLJobCluster, job: Job) -> None:
    seen = []
    for state in job.stream(timeout=180):
        seen.append((state.phase, state.raw_status.get("progress")))
        following = {"1/3": running("2/3"), "2/3": succeeded(progress="3/3")}.get(str(state.raw_status["progress"]))
        if following:
            cluster.put("train", status=following)

    assert seen == [("Running", "1/3"), ("Running", "2/3"), ("Succeeded", "3/3")]


def test_stream_that_is_left_early_closes_its_connection(cluster: MLJobCluster, job: Job) -> None:
    for _ in job.stream():
        break

    assert job.refresh().phase == "Running"


async def test_asyncio_half_waits_too(cluster: MLJobCluster, config: ClusterConfig) -> None:
    cluster.put("train", status=running())
    async with AsyncClient(transport=AsyncTransport(config)) as client:
        job = await client.get("train")
        thread = after_watched(cluster, lambda: cluster.put("train", status=failed()))
        with pytest.raises(JobFailed):
            await job.wait(timeout=180)
        thread.join(10)


def test_retry_waits_for_the_next_attempt(cluster: MLJobCluster, job: Job, when_watched: WhenWatched) -> None:
    cluster.put("train", status=failed())
    job.retry()
    requested = cluster.get("train")["metadata"]["annotations"][RETRY_REQUESTED_AT]
    when_watched(lambda: cluster.put("train", status=succeeded(lastHandledRetry=requested)))

    job.wait(timeout=180)


def test_two_retries_are_two_requests(cluster: MLJobCluster, job: Job) -> None:
    first, second = (job.retry().state.annotations[RETRY_REQUESTED_AT] for _ in range(2))

    assert first != second


def test_retry_of_a_cancelled_job_is_refused(cluster: MLJobCluster, job: Job) -> None:
    cluster.put("train", status=cancelled())
    job.refresh()

    with pytest.raises(errors.Invalid, match="final"):
        job.retry()


def test_cancel_suspend_and_resume_change_the_spec(cluster: MLJobCluster, job: Job) -> None:
    assert job.suspend().state.raw_spec["suspend"] is True
    assert job.resume().state.raw_spec["suspend"] is False
    job.suspend()
    assert job.cancel().state.raw_spec["cancel"] is True
    assert job.state.raw_spec["suspend"] is False, "the API server refuses both"
    assert cluster.get("train")["spec"]["cancel"] is True


@pytest.mark.parametrize("status", [succeeded(), failed(), cancelled(), refused()])
def test_cancel_leaves_a_job_that_has_ended(cluster: MLJobCluster, job: Job, status: Status) -> None:
    cluster.put("train", status=status)

    assert job.cancel().state.phase == status["phase"]

    assert "cancel" not in cluster.get("train")["spec"]


def test_cancel_reaches_a_stalled_job_and_a_job_that_runs_again(cluster: MLJobCluster, job: Job) -> None:
    for status, requested in ((stalled(), {}), (succeeded(), {RETRY_REQUESTED_AT: "now"})):
        cluster.put("train", status=status, annotations=requested)
        cluster.patch("train", {"spec": {"cancel": None}})
        assert job.cancel().state.raw_spec["cancel"] is True


def test_cancel_needs_no_right_to_read_the_job(cluster: MLJobCluster, client: Client) -> None:
    job = client.submit("train-dag", name="new")
    cluster.interfere = lambda asked: refusal(403, "Forbidden") if asked.method == "GET" else None

    job.cancel()

    assert cluster.get("new")["spec"]["cancel"] is True


def test_delete_is_of_this_job_only_and_may_be_repeated(cluster: MLJobCluster, job: Job, client: Client) -> None:
    job.delete()
    job.delete()
    with pytest.raises(errors.NotFound):
        client.get("train")

    cluster.put("train")
    job.delete()
    assert client.get("train").state.uid != job.state.uid


@pytest.mark.parametrize("name", ["", "..", "../../../../api/v1/secrets?x=y", "a/b", "A", "a b", "x" * 254])
def test_name_that_no_job_can_have_is_refused_without_a_request(
    cluster: MLJobCluster, client: Client, name: str
) -> None:
    says = "is empty" if not name else "no name of Kubernetes"
    with pytest.raises(errors.InvalidArgument, match=f"^name: .*{says}"):
        client.get(name)
    with pytest.raises(errors.InvalidArgument, match=f"^name: .*{says}"):
        client.compare([name])
    if name:
        with pytest.raises(errors.InvalidArgument, match=f"^namespace: .*{says}"):
            client.list_jobs(namespace=name)

    assert cluster.asked == []
