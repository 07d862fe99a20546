from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from mljob.kubeconfig import ClusterConfig
from tests.fakes.view_cluster import ViewCluster
from tests.live.eventually import eventually
from tests.view import showcase
from tests.view.serving import RunningView, view_behind_proxy

JOB = "/jobs/team-a/churn-train"
FAILED = "/jobs/team-a/churn-eval"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # By default, the view gives up after 0.9 seconds and sends a page that the browser loads again.
    # After 0.4 seconds, the view sends a page without the data that have not arrived. A busy
    # machine can need longer.
    monkeypatch.setattr("mljob.view.site.LOADING_SECONDS", 20.0)
    monkeypatch.setattr("mljob.view.person.PATIENCE_SECONDS", 15.0)


@pytest.fixture
def http(view: RunningView) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=view.url, follow_redirects=True, timeout=180) as client:
        client.get(view.first_url).raise_for_status()
        yield client


def token_of(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="([a-z-]+)" value="([^"]*)"', html))


def act(http: httpx2.Client, view: RunningView, action: str, job: str = JOB, **changes: str) -> httpx2.Response:
    form = token_of(http.get(f"{job}/actions/{action}").text)
    headers = {"Origin": view.url, "Sec-Fetch-Site": "same-origin"}
    return http.post(f"{job}/actions/{action}", data={**form, **changes}, headers=headers)


# --- Who gets in ---


def test_first_address_gives_a_cookie_that_only_this_site_gets(view: RunningView) -> None:
    answer = httpx2.get(view.first_url)

    assert answer.status_code == 200
    assert 'content="0;url=/jobs"' in answer.text
    again = httpx2.get(view.first_url)
    assert (again.status_code, again.headers["location"], "set-cookie" in again.headers) == (303, "/jobs", False)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert view.first_url.partition("token=")[2] not in cookie


@pytest.mark.parametrize(
    "path",
    ["/jobs", "/jobs/events", JOB, f"{JOB}/log", f"{JOB}/log.txt", f"{JOB}/actions/cancel", "/compare", "/platform"],
)
def test_without_a_session_nothing_is_shown(view: RunningView, cluster: ViewCluster, path: str) -> None:
    answer = httpx2.get(view.url + path)

    assert answer.status_code == 401
    assert "kubectl mljob ui" in answer.text
    assert "churn" not in answer.text.replace("/churn-train", "")
    assert not cluster.asked, "no request was sent to the cluster"


@pytest.mark.parametrize("token", ["", "wrong", "ü", "x" * 5_000])
def test_wrong_token_lets_nobody_in(view: RunningView, token: str) -> None:
    answer = httpx2.get(f"{view.url}/", params={"token": token})

    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example.com", "127.0.0.1", "127.0.0.1.evil.example.com:80", ""])
def test_other_hosts_are_refused(http: httpx2.Client, host: str) -> None:
    assert http.get("/jobs", headers={"Host": host}).status_code in (400, 421)


def test_answers_keep_browsers_safe(http: httpx2.Client) -> None:
    headers = http.get("/jobs").headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, no-store"
    assert headers["referrer-policy"] == "same-origin"
    assert "server" not in headers


# --- Pages ---


def test_list_has_all_namespaces_and_filters_by_the_url(http: httpx2.Client) -> None:
    assert "nightly-enrich" in http.get("/jobs").text

    one = http.get("/jobs?namespace=team-a&phase=Failed").text
    assert "churn-eval" in one
    assert "churn-train" not in one


def test_first_page_of_many_jobs_is_small(http: httpx2.Client, cluster: ViewCluster) -> None:
    for number in range(150):
        cluster.put(f"job-{number}", status={"phase": "Running", "message": "Task fit is running (1/3 tasks succeeded).", "progress": "1/3", "tasks": [{"taskId": "fit", "state": "running", "metrics": {"loss": 0.5, "accuracy": 0.9}}]})  # fmt: skip

    eventually(lambda: "165</b> MLJobs" in http.get("/jobs").text, "all MLJobs are known")
    with http.stream("GET", "/jobs", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = sum(len(chunk) for chunk in answer.iter_raw())
    assert packed < 30_000
    assert len(http.get("/jobs").content) < 160_000


def test_failed_job_shows_the_error_and_the_end_of_the_log(http: httpx2.Client) -> None:
    html = http.get(FAILED).text

    assert "ValueError: 3 columns are missing" in html
    assert "To retry: kubectl" not in html, "the page has a button"
    assert "Traceback (most recent call last):" in html
    assert f'href="{FAILED}/actions/retry"' in html


def test_whole_log_is_there_as_text(http: httpx2.Client) -> None:
    answer = http.get(f"{FAILED}/log.txt?task=score")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.splitlines()[-1] == "ValueError: 3 columns are missing: age, region, tenure"


def test_job_without_mljob_api_says_what_is_missing(http: httpx2.Client, cluster: ViewCluster) -> None:
    cluster.runs.clear()

    assert "Task fit is running" in http.get(JOB).text
    eventually(lambda: "mljob-api" in http.get(JOB).text, "the page says what is missing")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/jobs/team-a/nothing", 404, "There is no such MLJob"),
        ("/nowhere", 404, "There is no such page"),
        ("/jobs/team-a/churn-train/actions/explode", 409, "Nothing was done"),
        ("/jobs/team-a/churn-train/actions/retry", 409, "Nothing was done"),
        ("/static/0000000000000000/view.css", 404, "no such file"),
        ("/static/x/..%2fserver.py", 404, ""),
    ],
)
def test_missing_page_says_so(http: httpx2.Client, path: str, code: int, words: str) -> None:
    answer = http.get(path)

    assert answer.status_code == code
    assert words in answer.text


@pytest.mark.parametrize(
    "query",
    [
        "job=",
        "job=x",
        "job=a/b/c&job=team-a/nothing",
        "by=%00",
        "job=team-a/digits-lr-0&by=nothing",
        "&".join(f"job=team-a/x{n}" for n in range(60)),
    ],
)
def test_odd_comparison_is_a_page(http: httpx2.Client, query: str) -> None:
    assert http.get(f"/compare?{query}").status_code == 200


def test_comparison_orders_the_best_first(http: httpx2.Client) -> None:
    html = http.get("/compare?" + "&".join(f"job=team-a/digits-lr-{n}" for n in range(4))).text

    names = re.findall(r'<th scope="col"><a href="[^"]*">([^<]+)</a>', html)
    assert names == ["digits-lr-2", "digits-lr-1", "digits-lr-3", "digits-lr-0"]
    assert "optimizer.lr" in html
    assert "3 params are equal" in html


def test_one_equal_param_is_one(http: httpx2.Client, cluster: ViewCluster) -> None:
    for number in range(2):
        conf = {"rate": number, "epochs": 8}
        showcase.put(cluster, f"rates-{number}", "team-a", "train_model", "Training", {}, conf=conf)

    html = http.get("/compare?job=team-a/rates-0&job=team-a/rates-1").text

    assert "1 param is equal" in html


def test_platform_says_why_an_airflow_is_not_ready_and_who_waits(http: httpx2.Client) -> None:
    html = http.get("/platform").text

    for words in ("connection refused", "20</b> active runs of 20", "DagPaused", "team-b/nightly-enrich", "DAG enrich_dataset is paused, and 1 MLJob waits"):  # fmt: skip
        assert words in html


def test_platform_names_the_report_that_is_being_read(
    http: httpx2.Client, cluster: ViewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.view.person.PATIENCE_SECONDS", 0.1)

    with cluster.hold_back("/mljobs/monitor-1430"):
        html = http.get("/platform").text

    assert "The report of MLJob platform/monitor-1430 is being read." in html
    assert "No report" not in html
    eventually(lambda: "DAG enrich_dataset is paused, and 1" in http.get("/platform").text, "the report is shown")


def test_platform_says_why_a_report_can_not_be_read(http: httpx2.Client, cluster: ViewCluster) -> None:
    cluster.may = lambda _token, asked: not asked.path.endswith("/mljobs/monitor-1430")

    html = http.get("/platform").text

    assert "The report of MLJob platform/monitor-1430 can&#39;t be read: " in html
    assert "cannot get" in html
    assert "No report" not in html


# --- Changes ---


def events_of(http: httpx2.Client, path: str) -> Iterator[str]:
    with http.stream("GET", path, timeout=180) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield from answer.iter_lines()


def test_stream_sends_the_rows_that_change(http: httpx2.Client, cluster: ViewCluster) -> None:
    page = http.get("/jobs").text
    version = re.search(r'data-version="(\w+)"', page)
    assert version is not None
    lines = events_of(http, f"/jobs/events?last={version[1]}")
    assert next(lines) == "event: beat"

    found = cluster.get("nightly-enrich", "team-b")
    cluster.put("nightly-enrich", "team-b", status={**found["status"], "phase": "Running"})
    data = next(line for line in lines if line.startswith("data: {"))
    assert "nightly-enrich" in data
    assert "churn-train" not in data
    assert '"say":"nightly-enrich: Running."' in data


def test_pages_of_a_person_share_one_watch(http: httpx2.Client, cluster: ViewCluster) -> None:
    for _ in range(5):
        http.get("/jobs")
        http.get("/jobs?phase=Failed")

    assert cluster.count("list") == 1


def test_log_is_streamed_with_line_numbers_and_goes_on_from_the_last(http: httpx2.Client, cluster: ViewCluster) -> None:
    whole = "\n".join(events_of(http, f"{FAILED}/log?task=score"))
    assert 'id=\\"L10\\"' in whole
    assert "ansi-red" in whole
    assert "event: done" in whole

    rest = "\n".join(events_of(http, f"{FAILED}/log?task=score&last=9+1/score/-1/1/9"))
    assert 'id=\\"L10\\"' in rest
    assert 'id=\\"L9\\"' not in rest
    assert "event: restart" not in whole + rest

    again = "\n".join(events_of(http, f"{FAILED}/log?task=score&last=9+"))
    assert again.startswith("event: restart")
    assert 'id=\\"L1\\"' in again


# --- Actions ---


def test_action_says_what_will_happen_and_does_it_when_confirmed(
    http: httpx2.Client, view: RunningView, cluster: ViewCluster
) -> None:
    question = http.get(f"{JOB}/actions/cancel").text
    assert "is cancelled in Airflow" in question
    assert "1 task is running." in question
    assert "cancel" not in cluster.get("churn-train")["spec"], "the question changes nothing"

    assert act(http, view, "cancel").status_code == 200
    assert cluster.get("churn-train")["spec"]["cancel"] is True


def test_retry_requests_another_attempt(http: httpx2.Client, view: RunningView, cluster: ViewCluster) -> None:
    act(http, view, "retry", FAILED).raise_for_status()

    assert "mljob.dev/retry-requested-at" in cluster.get("churn-eval")["metadata"]["annotations"]


def test_suspend_resume_and_delete(http: httpx2.Client, view: RunningView, cluster: ViewCluster) -> None:
    act(http, view, "suspend").raise_for_status()
    assert cluster.get("churn-train")["spec"]["suspend"] is True
    eventually(lambda: "actions/resume" in http.get(JOB).text, "the page offers to resume")
    act(http, view, "resume").raise_for_status()
    assert cluster.get("churn-train")["spec"]["suspend"] is False
    act(http, view, "delete").raise_for_status()
    assert http.get(JOB).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.com", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ],
    ids=str,
)
def test_form_of_another_site_does_nothing(http: httpx2.Client, cluster: ViewCluster, headers: dict[str, str]) -> None:
    form = token_of(http.get(f"{JOB}/actions/cancel").text)

    assert http.post(f"{JOB}/actions/cancel", data=form, headers=headers).status_code == 403
    assert "cancel" not in cluster.get("churn-train")["spec"]


@pytest.mark.parametrize("form", [{"form-token": "wrong"}, {"form-token": ""}, {"form-token": "ü"}])
def test_form_without_the_token_of_a_page_does_nothing(
    http: httpx2.Client, view: RunningView, cluster: ViewCluster, form: dict[str, str]
) -> None:
    assert act(http, view, "cancel", **form).status_code == 403
    assert "cancel" not in cluster.get("churn-train")["spec"]


def test_action_is_not_done_to_another_mljob_of_the_same_name(
    http: httpx2.Client, view: RunningView, cluster: ViewCluster
) -> None:
    assert act(http, view, "delete", uid="another").status_code == 409
    assert cluster.get("churn-train")


def test_huge_form_does_nothing(http: httpx2.Client, view: RunningView, cluster: ViewCluster) -> None:
    assert act(http, view, "cancel", padding="x" * 100_000).status_code == 403


# --- Rights ---


@pytest.fixture
def rights_in_team_a(cluster: ViewCluster) -> None:
    cluster.may = lambda _token, asked: "/namespaces/team-a/" in asked.path


@pytest.mark.usefixtures("rights_in_team_a")
def test_who_may_see_one_namespace_comes_to_that_one(http: httpx2.Client) -> None:
    answer = http.get("/jobs?phase=Failed")
    assert answer.url.query == b"namespace=team-a&phase=Failed"
    assert "churn-eval" in answer.text
    assert ">all</option>" not in answer.text.partition("Type")[0]


@pytest.mark.usefixtures("rights_in_team_a")
def test_refused_namespace_says_why_and_asks_for_another(http: httpx2.Client) -> None:
    answer = http.get("/jobs?namespace=team-b")
    assert answer.status_code == 403
    assert "cannot get" in answer.text
    assert 'name="namespace"' in answer.text


def test_action_without_the_right_says_so(http: httpx2.Client, view: RunningView, cluster: ViewCluster) -> None:
    cluster.may = lambda _token, asked: asked.method == "GET"

    answer = act(http, view, "cancel")
    assert answer.status_code == 403
    assert "cannot patch" in answer.text


def test_viewers_behind_a_proxy_see_what_their_own_token_may(config: ClusterConfig, cluster: ViewCluster) -> None:
    cluster.may = lambda token, asked: f"/namespaces/{token}/" in asked.path

    with view_behind_proxy(config) as view, httpx2.Client(base_url=view.url, timeout=180) as client:

        def seen(token: str, path: str = "/jobs?namespace=team-a") -> httpx2.Response:
            return client.get(path, headers={"Authorization": f"Bearer {token}"})

        assert "churn-train" in seen("team-a").text
        for path in ("/jobs?namespace=team-a", JOB, f"{JOB}/log.txt", f"{JOB}/actions/cancel", "/jobs"):
            answer = seen("team-b", path)
            assert answer.status_code == 403, path
            assert "Task fit" not in answer.text
        assert "forecast-tuned" in seen("team-b", "/jobs?namespace=team-b").text
        forwarded = client.get("/jobs?namespace=team-a", headers={"X-Forwarded-Access-Token": "team-a"})
        assert "churn-train" in forwarded.text
        unknown = client.get("/jobs")
        assert unknown.status_code == 401
        assert "X-Forwarded-Access-Token" in unknown.text
        assert "kubectl mljob ui" not in unknown.text, "nobody behind a proxy has started the view"
        assert client.get("/jobs", headers={"Authorization": "Basic dTpw"}).status_code == 401
        assert client.get("/livez", headers={"Host": "10.0.0.7"}).text == "ok"


def test_list_that_takes_long_is_loading_and_then_there(
    view: RunningView, cluster: ViewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.view.site.LOADING_SECONDS", 0.2)

    with (
        cluster.hold_back("/mljobs") as go_on,
        httpx2.Client(base_url=view.url, follow_redirects=True, timeout=180) as client,
    ):
        client.get(view.first_url)  # lets the client in, and leads a browser on
        answer = client.get("/jobs")
        assert "Loading" in answer.text
        assert 'http-equiv="refresh" content="1"' in answer.text
        go_on()
        eventually(lambda: "nightly-enrich" in client.get("/jobs").text, "the list is there")
    assert cluster.count("list") == 1, "the first request was not repeated"


def test_list_does_not_wait_for_the_names_of_namespaces(
    http: httpx2.Client, cluster: ViewCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.view.person.PATIENCE_SECONDS", 0.1)

    with cluster.hold_back("/api/v1/namespaces"):
        assert "nightly-enrich" in http.get("/jobs").text


def test_first_address_lets_no_second_browser_in(http: httpx2.Client, view: RunningView) -> None:
    http.get("/jobs").raise_for_status()

    assert httpx2.get(view.first_url, follow_redirects=True).status_code == 401
    assert http.get(view.first_url).status_code == 200, "the first browser may open it again"


def test_cluster_that_does_not_answer_is_told_and_tried_again(view: RunningView, cluster: ViewCluster) -> None:
    cluster.close()
    with httpx2.Client(base_url=view.url, follow_redirects=True, timeout=180) as client:
        client.get(view.first_url)

        def told() -> str | None:
            answer = client.get("/jobs")
            return answer.text if answer.status_code == 503 else None

        html = eventually(told, "the page says that the API server does not answer")
    assert "does not answer" in html
    assert 'http-equiv="refresh" content="5"' in html
