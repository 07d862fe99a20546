"""No response tells a client whether a word of the request is a credential of the platform, or a
value of a Secret.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_contract.mljob import UNOBSERVED
from mljob_contract.run_api import LOG_NOTICE, RUN_API_VERSION, RunSubresource, run_path
from mljob_operator import logs
from mljob_operator.core.run.states import TaskState

from .conftest import ApiWorld

PASSWORD, OTHER = "summer2026", "winter2025"
PIN, OTHER_NUMBER = "20262026", "20252025"
LOG, EVENTS, GRAPH = (run_path("team-a", "churn", of) for of in RunSubresource)
WATCH = run_path("team-a", "churn", RunSubresource.EVENTS, watch=True)
WORD, NUMBER = "WORD", "1234"
"""What stands for the word of the client in a request: a text, or a whole number."""

NAMES = [(path, {f"{part}{WORD}": "1"}) for path in (LOG, EVENTS, WATCH, GRAPH) for part in ("", "x", "x" * 50)]
VALUES = [
    *((path, {"attempt": value}) for path in (LOG, EVENTS, WATCH, GRAPH) for value in (WORD, NUMBER)),
    *((path, {"after": WORD}) for path in (LOG, EVENTS, WATCH)),
    *((path, {"follow": WORD}) for path in (LOG, EVENTS)),
    *((LOG, {name: WORD}) for name in ("task", "mapIndex", "try", "tail", "positions")),
    *((LOG, {name: NUMBER, "task": "fit"}) for name in ("mapIndex", "try", "tail")),
    *((LOG, {name: f"{NUMBER}99", "task": "fit"}) for name in ("mapIndex", "try", "tail")),
    (LOG, {"task": f"{WORD}/"}),
    (LOG, {"task": WORD, "follow": "true"}),
    (LOG, {"after": f"1/{WORD}/-1/1/0"}),
    (LOG, {"after": f"1/{WORD}/-1/1/0", "task": "fit"}),
    (LOG, {"after": "1/fit/-1/1/0", "task": WORD}),
    (LOG, {"after": f"1/fit/{NUMBER}/1/0", "task": "fit", "mapIndex": "0"}),
    (LOG, {"after": f"1/fit/-1/{NUMBER}/0", "task": "fit", "try": "1"}),
    (LOG, {"after": f"{NUMBER}/fit/-1/1/0", "attempt": "1"}),
]
PATHS: list[tuple[str, dict[str, str]]] = [
    *(
        (run_path(*job, of), {})
        for job in (("team-a", WORD), (WORD, "churn"), ("team-a", f"-{WORD}"))
        for of in RunSubresource
    ),
    (run_path(WORD, WORD, RunSubresource.EVENTS, watch=True), {}),
    *((path, {}) for path in (f"{LOG}{WORD}", f"/apis/{RUN_API_VERSION}/{WORD}", f"/{WORD}")),
]


@pytest.fixture(autouse=True)
def _credentials() -> Iterator[None]:
    logs.hide("test", PASSWORD, PIN)
    yield
    logs.hide("test")


async def told(
    world: ApiWorld, path: str, query: dict[str, str], word: str, number: str
) -> tuple[int, dict[str, str], str]:
    """Send a request with these words. Return the status, the headers and the text of the response,
    where ``WORD`` and ``NUMBER`` stand for the words.
    """

    def filled(text: str) -> str:
        return text.replace(WORD, word).replace(NUMBER, number)

    headers = {"X-Remote-User": f"ada-{word}", "X-Request-Id": word, "Traceparent": word, "Accept": word}
    answer = await world.get(
        filled(path), headers=headers, **{filled(name): filled(value) for name, value in query.items()}
    )
    shown = {name: value.replace(word, WORD) for name, value in answer.headers.items() if name != "Date"}
    return answer.status, shown, (await answer.text()).replace(word, WORD).replace(number, NUMBER)


@pytest.mark.parametrize(("path", "query"), [*NAMES, *VALUES, *PATHS])
async def test_response_is_the_same_for_a_password_and_another_word(
    world: ApiWorld, path: str, query: dict[str, str]
) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.write(run, "fit", "done")
    response = await told(world, path, query, PASSWORD, PIN)
    assert response == await told(world, path, query, OTHER, OTHER_NUMBER)
    assert "***" not in response[2]


async def test_words_of_the_request_are_in_the_response(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    assert PASSWORD in await (await world.get(f"{LOG}?{PASSWORD}=1")).text()
    assert PASSWORD in await (await world.get(LOG, task=PASSWORD)).text()
    assert PIN in await (await world.get(GRAPH, attempt=PIN)).text()


async def test_end_of_a_followed_log_is_the_same_for_a_value_of_a_secret(world: ApiWorld) -> None:
    """Whoever may read logs may not have the right to read the Secrets of the run."""
    await world.start()
    run = world.submitted(conf={"password": PASSWORD}, confFrom=[{"secretRef": {"name": "warehouse"}}])
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    body = world.jobs.objects["team-a", "churn"]
    body["status"], submitted = dict(UNOBSERVED), body["status"]
    words = (PASSWORD, PASSWORD[:5], OTHER)
    # Each response begins, because the MLJob has no run yet.
    followed = [await world.get(LOG, task=word, follow="true") for word in words]
    body["status"] = submitted
    ends = [(await answer.text()).lstrip("\n") for answer in followed]
    assert ends == [
        f"{LOG_NOTICE}The log ends here: The run has no task {word!r}. It has extract, fit.\n" for word in words
    ]
