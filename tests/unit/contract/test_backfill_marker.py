from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.backfill_marker import CONF_KEY, Marker

MARKER = Marker("mljob.team-a.nightly.aaaaaaaaaa-1", 2)


def test_the_marker_in_a_conf_is_read_as_it_was_written() -> None:
    assert Marker.read({"table": "sales", **MARKER.as_conf()}) == MARKER


def test_the_marker_is_one_key_of_the_conf() -> None:
    assert list(MARKER.as_conf()) == [CONF_KEY]


def test_a_field_that_a_later_operator_adds_is_ignored() -> None:
    conf = MARKER.as_conf()
    conf[CONF_KEY]["cluster"] = "east"
    assert Marker.read(conf) == MARKER


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param(None, id="no conf"),
        pytest.param({}, id="an empty conf"),
        pytest.param({"table": "sales"}, id="another key"),
        pytest.param({CONF_KEY: None}, id="null"),
        pytest.param({CONF_KEY: MARKER.run_id}, id="a text"),
        pytest.param({CONF_KEY: [MARKER.run_id, 2]}, id="a list"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id}}, id="no attempt"),
        pytest.param({CONF_KEY: {"attempt": 2}}, id="no id"),
        pytest.param({CONF_KEY: {"id": 7, "attempt": 2}}, id="an id that is a number"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": "2"}}, id="an attempt that is a text"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": 2.0}}, id="an attempt that is a fraction"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": True}}, id="an attempt that is true"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": 0}}, id="an attempt before the first"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": -1}}, id="a negative attempt"),
        pytest.param({CONF_KEY: {"id": MARKER.run_id, "attempt": 2**31}}, id="an attempt that no status can hold"),
    ],
)
def test_a_conf_without_a_whole_marker_has_none(conf: dict[str, Any] | None) -> None:
    assert Marker.read(conf) is None
