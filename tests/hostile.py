"""Kafka messages that an attacker may send to disturb an MLJob."""

from __future__ import annotations

import json
from random import Random
from typing import Any

Message = dict[str, Any]

ANY = [True, -1, 2**31, 2**70, 1.5, float("inf"), float("nan"), [], {}, [[[]]], {"a": {"a": {}}}, "\x00", "\ud800", ""]
TEXTS = [
    1,
    True,
    1.5,
    [],
    {},
    "",
    "a/b",
    "a b",
    "a\x00",
    "a\ud800",
    "\u202e",
    "x" * 251,
    "ä" * 5000,
    "'; DROP TABLE runs; --",
]
NUMBERS = [True, -2, 2**31, 2**63, 2**70, 10**400, 1.5, 1e300, float("inf"), float("nan"), "1", "", [], {}]
TIMES = [
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1999-12-31T23:59:59Z", "2999-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00", "2026-01-01", "2026-02-30T00:00:00Z"),
    *(
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:60Z",
        "yesterday",
        "",
        -1,
        2**70,
        1e300,
        float("nan"),
        True,
        [],
        {},
    ),
]
BOTH: dict[str, list[Any]] = {
    "event": [None, *ANY, "task_instance.exploded"],
    "timestamp": [None, *TIMES],
    "dag_id": [None, *TEXTS],
    "run_id": [None, *(text for text in TEXTS if text != "")],
    "task_id": TEXTS,
    "try_number": NUMBERS,
    "map_index": NUMBERS,
    "source": [1, True, [], {}, "s" * 254, "\ud800"],
}
OURS: dict[str, list[Any]] = {
    "mljob_version": [None, 0, 2, -1, "1", 2**70, [], {}],
    "max_tries": NUMBERS,
    "start_date": TIMES,
    "end_date": TIMES,
    "progress": [-0.1, 1.1, *(value for value in NUMBERS if value != "1"), "0.5"],
    "metrics": [
        1,
        "x",
        [],
        {"a": "b"},
        {"a": None},
        {"a": float("nan")},
        {"": 1},
        {"m" * 64: 1},
        {str(i): 1 for i in range(99)},
    ],
    "error": ["x", 1, [], {}, {"type": 1, "message": "x"}, {"type": "x"}, {"message": [[]], "type": "x"}],
}
OFFICIALS: dict[str, list[Any]] = {"schema_version": [None, 0, 2, "1", 2**70, [], {}], "error": [1, True, [], {}]}
"""By field, values that make a message of Airflow's own producer invalid, as ``BOTH`` has them for
both producers and ``OURS`` for the provider. A message with one of these values is unreadable or
unrelated to any run.
"""


def hostile(random: Random, good: Message) -> bytes | None:
    """Return the value of a random hostile message. Some hostile messages are changed copies of
    the valid message ``good``. None stands for a message without a value.
    """
    return random.choice((_nonsense, _broken, _out_of_bounds, _out_of_bounds, _out_of_bounds, _about_others))(
        random, good
    )


def _nonsense(random: Random, good: Message) -> bytes | None:
    return random.choice(
        (
            None,
            b"",
            b"null",
            b"true",
            b"[]",
            b'"text"',
            b"NaN",
            b"[" * random.randrange(1, 100_000),
            b'{"a":' * random.randrange(1, 20_000),
            b"1" * random.randrange(1, 20_000),
            b'{"mljob_version": 1}',
            b'{"schema_version": 1}',
            b'{"mljob_version": 1, "schema_version": 1}',
            b"\xff\xfe\x00\x00",
            random.randbytes(random.randrange(1, 200)),
            " \u2028\u0000\U0010ffff".encode("utf-16"),
        )
    )


def _broken(random: Random, good: Message) -> bytes:
    text = json.dumps(good).encode()
    if random.random() < 0.02:
        return text[:-1] + b' , "x": "' + b"y" * (1024 * 1024) + b'"}'
    at = random.randrange(1, len(text))
    return text[:at] if random.random() < 0.5 else text[:at] + b"\x00\xff" + text[at:]


def _out_of_bounds(random: Random, good: Message) -> bytes:
    fields = BOTH | (OURS if "mljob_version" in good else OFFICIALS)
    message = dict(good)
    for field in random.sample(sorted(fields), random.choice((1, 1, 1, 3))):
        message[field] = random.choice(fields[field])
    return json.dumps(message).encode()


def _about_others(random: Random, good: Message) -> bytes:
    prefix, namespace, name, _ = str(good["run_id"]).split(".")
    run_id = random.choice(
        (
            f"{prefix}.{namespace}.{name}.aaaaaaaaaa-1",
            f"{prefix}.{namespace}.{name}.bbbbbbbbbb-999999",
            f"{good['run_id']}0",
            f"{prefix}.{namespace}.nobody-{random.randrange(50)}.aaaaaaaaaa-1",
            f"other.{namespace}.{name}.aaaaaaaaaa-1",
            f"manual__2026-01-01T00:00:{random.randrange(60):02}+00:00",
            "..\n",
        )
    )
    return json.dumps({**good, "run_id": run_id}).encode()
