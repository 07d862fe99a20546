from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from mljob_operator.api import tail_places
from mljob_operator.api.errors import Refusal
from mljob_operator.api.log_sinks import MAX_TAIL_BYTES
from mljob_operator.api.tail_places import MAX_TAILS, TAILS_OF_A_NAMESPACE, TailPlaces
from tests import libyaml
from tests.pages import ROOT


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_places, "WAIT_SECONDS", 0.05)


async def fill(places: TailPlaces, taken: ExitStack, namespace: str, count: int) -> None:
    for _ in range(count):
        await taken.enter_context(places.place(namespace)).take()


async def test_namespace_has_a_share_of_the_places() -> None:
    places = TailPlaces()
    with ExitStack() as taken, places.place("team-a") as place:
        await fill(places, taken, "team-a", TAILS_OF_A_NAMESPACE)
        with pytest.raises(Refusal, match="8 of one namespace") as refused:
            await place.take()
        assert refused.value.code == 429
        with places.place("team-b") as other:
            await other.take()
        taken.close()
        await place.take()


async def test_places_of_all_namespaces_are_limited_and_a_refusal_costs_none() -> None:
    places = TailPlaces()
    with ExitStack() as taken:
        for number in range(MAX_TAILS // TAILS_OF_A_NAMESPACE):
            await fill(places, taken, f"team-{number}", TAILS_OF_A_NAMESPACE)
        with places.place("late") as place:
            for _ in range(TAILS_OF_A_NAMESPACE + 1):
                with pytest.raises(Refusal, match="32 of all namespaces"):
                    await place.take()
    with ExitStack() as taken:
        await fill(places, taken, "late", TAILS_OF_A_NAMESPACE)


async def test_place_is_taken_once_and_is_free_at_the_end() -> None:
    places = TailPlaces()
    for _ in range(2 * MAX_TAILS):
        with places.place("team-a") as place:
            place.free()
            await place.take()
            await place.take()


async def test_request_that_waits_gets_the_place_of_one_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_places, "WAIT_SECONDS", 60.0)
    places = TailPlaces()
    with ExitStack() as taken, places.place("team-a") as place:
        await fill(places, taken, "team-a", TAILS_OF_A_NAMESPACE)
        waiting = asyncio.create_task(place.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        taken.close()
        await waiting


def test_tails_take_a_small_part_of_the_memory_limit() -> None:
    values = libyaml.load((ROOT / "charts/mljob-operator/values.yaml").read_text())
    limit_of_the_chart = int(values["api"]["resources"]["limits"]["memory"].removesuffix("Mi")) * 1024 * 1024
    all_tails = MAX_TAILS * MAX_TAIL_BYTES * 1.125
    assert all_tails < limit_of_the_chart / 10
