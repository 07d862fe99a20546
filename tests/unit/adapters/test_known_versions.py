"""kopf's watch of MLJobs delivers no version that the operator knows already."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_operator.adapters.known_versions import ObserveKnown, leave_out_known_versions

UID = "0b1a8d0e-6f0c-4f2e-9d5b-3f3f4c1f2a10"
OTHER_UID = "ffffffff-6f0c-4f2e-9d5b-3f3f4c1f2a10"
Version = tuple[tuple[str, str], str, str]


def line(event: str = "MODIFIED", *, version: str = "7", spec: Any = None, **metadata: Any) -> bytes:
    """Return a line of a watch in the form of the API server, without its end."""
    required = {"name": "churn", "namespace": "team-a", "resourceVersion": version, "uid": UID}
    body = {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "MLJob",
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1, **required, **metadata},
        "spec": spec if spec is not None else {"dagId": "train"},
        "status": {"phase": "Running"},
    }
    watched = {"type": event, "object": json.loads(json.dumps(body, sort_keys=True))}
    return json.dumps(watched, separators=(",", ":"), ensure_ascii=False).encode()


class Body:
    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


async def left(chunks: Sequence[bytes], observe_known: ObserveKnown) -> list[bytes]:
    """Return the lines that are left of a watch whose body arrives in ``chunks``."""
    answer: Any = SimpleNamespace(content=Body(chunks))
    leave_out_known_versions(answer, observe_known)
    content = b"".join([chunk async for chunk in answer.content.iter_chunked(1024)])
    return content.split(b"\n")


async def versions(*lines: bytes) -> list[Version]:
    """Return the versions about which the operator is asked."""
    asked: list[Version] = []

    def observe_known(key: tuple[str, str], uid: str, resource_version: str) -> bool:
        asked.append((key, uid, resource_version))
        return False

    chunks = [each + b"\n" for each in lines]
    assert await left(chunks, observe_known) == [*lines, b""], "an unknown version stays as it is"
    return asked


def seven_is_known(_key: tuple[str, str], _uid: str, resource_version: str) -> bool:
    return resource_version == "7"


@given(st.data())
async def test_only_known_versions_are_left_out(data: st.DataObject) -> None:
    lines = data.draw(st.lists(st.sampled_from([line(version="7"), line(version="8"), b"", b"no JSON"]), max_size=6))
    text = b"\n".join(lines) + data.draw(st.sampled_from([b"", b"\n"]))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    received = [each for each in await left(chunks, seven_is_known) if each]

    # A line without an end is incomplete, and is not checked.
    checked = lines if text.endswith(b"\n") else lines[:-1]
    unchecked = lines[len(checked) :]
    assert received == [each for each in checked if each and each != line(version="7")] + [x for x in unchecked if x]


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED"])
async def test_operator_is_asked_about_each_new_version(event: str) -> None:
    assert await versions(line(event)) == [(("team-a", "churn"), UID, "7")]


@pytest.mark.parametrize("event", ["DELETED", "BOOKMARK", "ERROR"])
async def test_deletions_bookmarks_and_errors_stay(event: str) -> None:
    assert await versions(line(event)) == []


async def test_mljob_with_an_owner_is_recognised() -> None:
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": OTHER_UID}
    assert await versions(line(ownerReferences=[owner])) == [(("team-a", "churn"), UID, "7")]


FORGED = {"name": "victim", "namespace": "team-b", "resourceVersion": "1", "uid": OTHER_UID}
ODD_OWNER = {"apiVersion": "v1", "kind": "a]b", "name": "x", "uid": OTHER_UID}
"""An owner that the API server accepts, and by which the version is not recognised."""


@pytest.mark.parametrize(
    "forged",
    [
        line(annotations=FORGED),
        line(labels=FORGED),
        line(annotations={**FORGED, "spec": "x"}),
        line(annotations={"a": json.dumps({"metadata": FORGED, "spec": {}}, separators=(",", ":"))}),
        line(ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", **FORGED}]),
        line(spec={"conf": {"metadata": FORGED, "spec": {}}}),
        line(finalizers=['"name":"victim","namespace":"team-b","resourceVersion":"1","uid":"x"},"spec":']),
    ],
)
async def test_users_cannot_forge_the_version(forged: bytes) -> None:
    assert await versions(forged) in ([], [(("team-a", "churn"), UID, "7")])


@pytest.mark.parametrize("spec", [{}, {"conf": {"metadata": FORGED, "spec": {}}}])
async def test_version_that_is_not_recognised_stays(spec: dict[str, Any]) -> None:
    assert await versions(line(spec=spec, ownerReferences=[ODD_OWNER])) == []


async def test_json_in_another_form_stays() -> None:
    spaced = json.dumps(json.loads(line())).encode()
    unsorted = line().replace(b'"name":"churn",', b"").replace(b'"uid":', b'"name":"churn","uid":')
    assert await versions(spaced, unsorted) == []


async def test_version_whose_check_fails_stays(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_key: tuple[str, str], _uid: str, _resource_version: str) -> bool:
        raise RuntimeError("a defect")

    assert await left([line() + b"\n"], fail) == [line(), b""]
    assert "MLJob team-a/churn: unexpected error" in caplog.text
