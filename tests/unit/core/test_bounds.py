"""Limits on the depth and the size of JSON values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mljob_contract.mljob import MAX_CONF_BYTES, MAX_CONF_LEVELS
from mljob_operator.core.conf.conf import Source, excess, merged
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import spec_hash
from mljob_operator.core.text.bounds import CONF, json_size, levels
from tests.deep import nested


def secret(data: dict[str, str]) -> Source:
    return Source("Secret warehouse", data, True)


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        (1, 0),
        ("{[", 0),
        ({}, 1),
        ([], 1),
        ({"a": 1}, 1),
        ({"a": [{"b": []}], "c": 1}, 4),
        (nested(9_990), 9_990),
    ],
    ids=["a number", "a text", "an object", "a list", "flat", "mixed", "as deep as the API server stores"],
)
def test_levels_count_nested_objects_and_lists(value: object, depth: int) -> None:
    assert levels(value) == depth


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        (nested(MAX_CONF_LEVELS), None),
        (nested(MAX_CONF_LEVELS + 1), "is nested 33 levels deep, over the limit of 32"),
        (nested(9_990), "is nested 9990 levels deep, over the limit of 32"),
        ({"a": "x" * (MAX_CONF_BYTES - 8)}, None),
        ({"a": "x" * (MAX_CONF_BYTES - 7)}, "takes 262145 bytes as JSON, over the limit of 262144"),
        ({"a": "ä" * (MAX_CONF_BYTES // 2)}, "takes 262152 bytes as JSON, over the limit of 262144"),
        ({"a": "\ud800"}, None),
    ],
    ids=["at the depth", "too deep", "very deep", "at the size", "too large", "too large in UTF-8", "half a pair"],
)
def test_a_conf_has_32_levels_and_256_kib(conf: dict[str, Any], says: str | None) -> None:
    assert CONF.excess(conf) == says


def test_a_conf_within_bounds_can_be_hashed() -> None:
    job = Job.from_object(an_object({"dagId": "train", "conf": nested(MAX_CONF_LEVELS)}))
    assert job.parsed.problem is None
    assert spec_hash(job.spec)


def an_object(spec: object, status: object = None) -> dict[str, Any]:
    return {"metadata": {"namespace": "a", "name": "b", "uid": "u"}, "spec": spec, "status": status}


class TestSources:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('{"a":' * 300 + "1" + "}" * 300, "the value of more.json is nested 300 levels deep"),
            ('{"a":' * 200_000, "the value of more.json has 1000000 characters"),
            ('{"a":' * 40_000, "the value of more.json is nested more than 32 levels deep"),
            ('{"a": "' + "x" * 2**20 + '"}', "the value of more.json has 1048585 characters"),
            ('{"a": ' + "1" * 5_000 + "}", "is not a JSON object"),
        ],
        ids=["300 levels", "200,000 levels", "40,000 levels", "1 MiB", "a number of 5,000 digits"],
    )
    def test_an_object_in_a_source_is_refused_by_name(self, text: str, says: str) -> None:
        with pytest.raises(ValueError, match=f"^Secret warehouse: .*{says}"):
            merged({}, [secret({"more.json": text})])

    def test_a_merged_conf_that_is_too_large_is_refused_and_each_source_is_named(self) -> None:
        sources = [secret({"a": "x" * 200_000}), Source("ConfigMap more", {"b": "x" * 200_000}, False)]
        said = excess(merged({"c": 1}, sources), sources)
        assert said is not None
        assert "merged from spec.conf, Secret warehouse, ConfigMap more takes 400021 bytes" in said
        assert excess(merged({"c": 1}, sources[:1]), sources[:1]) is None


def test_size_is_the_size_of_compact_json() -> None:
    assert json_size({"a": [1, "ä"]}) == len('{"a":[1,"ä"]}'.encode())


def test_the_operator_reads_objects_as_deep_as_the_api_server_stores_them() -> None:
    script = (
        "import json, sys\n"
        "from mljob_operator.json_depth import allow_deep_json\n"
        "allow_deep_json()\n"
        "text = '[' * 10_000 + ']' * 10_000\n"
        "json.loads(json.dumps(json.loads(text)))\n"
        "try:\n"
        "    json.loads('[' * 1_000_000)\n"
        "except RecursionError:\n"
        "    print('refused')\n"
    )
    # allow_deep_json changes the recursion limit of the whole process.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"
