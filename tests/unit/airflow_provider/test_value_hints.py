"""The error for a wrong duration or date shows the right notation."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from pydantic import AwareDatetime, BaseModel

from mljob_airflow.jobs import value_hints
from mljob_airflow.jobs.param_schema import ConfError, params_of, parse, problems


class Params(BaseModel):
    wait_seconds: int = 1
    rate: float | None = None
    since: datetime | None = None
    until: AwareDatetime | None = None
    day: date | None = None
    span: timedelta | None = None


SCHEMAS = {spec.name: spec.schema for spec in params_of(Params)}
TIME = "write a date, a time and a time zone, for example 2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("value", "seconds"), [("2h", "7200"), ("1.5 min", "90"), ("30S", "30"), ("1d", "86400"), (" 250ms ", "0.25")]
)
def test_a_duration_is_refused_with_its_seconds(value: str, seconds: str) -> None:
    told = f"write a duration as a number, in seconds {seconds} for {value.strip()}"
    assert problems(value, SCHEMAS["wait_seconds"]) == [f"{value!r} is not of type 'integer': {told}"]
    with pytest.raises(ConfError, match=rf"conf\.rate: .*: {told}$"):
        parse(Params, {"rate": value})


@pytest.mark.parametrize("value", ["h", "two hours", "2 h 3 min", "2", "1e5h", "9" * 10_000 + "h", None, [2], {"h": 2}])
def test_other_strings_are_refused_without_a_hint(value: Any) -> None:
    assert value_hints.for_number(value) == ""
    assert "write" not in "".join(problems(value, {"type": "integer"}))


def test_a_string_param_accepts_a_duration() -> None:
    assert problems("2h", {"type": "string"}) == []
    assert problems(2, {"type": "string"}) == ["2 is not of type 'string'"]


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"until": "2026-01-01"}, TIME),
        ({"until": "2026-01-01T00:00:00"}, TIME),
        ({"since": "yesterday"}, TIME),
        ({"day": "2026-1-1"}, "write a date, for example 2026-01-01"),
        ({"span": "2 hours"}, "write a duration as in ISO 8601, for example PT2H for two hours"),
    ],
)
def test_a_date_is_refused_with_an_example(conf: dict[str, Any], told: str) -> None:
    [name] = conf
    with pytest.raises(ConfError) as caught:
        parse(Params, conf)
    assert f"conf.{name}: " in str(caught.value)
    assert str(caught.value).endswith(told)


def test_a_format_is_refused_with_an_example() -> None:
    assert problems("1.1.2026", {"type": "string", "format": "date"}) == [
        "'1.1.2026' is not a 'date': write a date, for example 2026-01-01"
    ]
