from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mljob.cli.objects import text_of
from mljob.cli.options import Format
from mljob.documents import MAX_DOCUMENTS, MAX_LEVELS, MAX_NODES, DocumentError, documents
from mljob.findings import Finding
from mljob.lint import check, is_ours
from mljob.lint.schemas import CRDS, schema_of
from tests.mistakes import OTHERS, RULES, VALID, Mistake
from tests.yaml_scalars import KEYS, SCALARS

ROOT = Path(__file__).resolve().parents[4]
EXAMPLES = sorted((ROOT / "examples").rglob("*.yaml"))


def found_in(text: str) -> list[Finding]:
    return [finding for document in documents(text) if is_ours(document.value) for finding in check(document)]


def reasons(text: str) -> list[str]:
    try:
        return [str(finding) for document in documents(text) for finding in document.findings]
    except DocumentError as error:
        return [str(error)]


def conf(value: str) -> str:
    return f"{yaml.safe_dump(VALID['MLJob'])}  conf: {value}\n"


@pytest.mark.parametrize("mistake", [*RULES, *OTHERS], ids=lambda mistake: f"{mistake.path} {mistake.message}")
def test_mistake_is_found_with_its_field_and_its_line(mistake: Mistake) -> None:
    found = found_in(mistake.text)

    assert [finding.path for finding in found] == [mistake.path]
    assert mistake.message in found[0].message
    assert found[0].line is not None
    last = mistake.path.split(".")[-1].split("[")[0]
    assert last in "\n".join(mistake.text.splitlines()[: found[0].line])


def test_each_rule_of_the_crd_has_a_mistake_that_violates_it() -> None:
    def rules(node: dict[str, Any]) -> set[str]:
        own = {rule["message"] for rule in node.get("x-kubernetes-validations", ()) if "oldSelf" not in rule["rule"]}
        return own.union(
            *map(rules, node.get("properties", {}).values()), *([rules(node["items"])] if "items" in node else [])
        )

    told = {finding.message for mistake in RULES for finding in found_in(mistake.text)}
    assert rules(schema_of("MLJob")) == told


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: str(file.relative_to(ROOT / "examples")))
def test_examples_have_no_mistake(file: Path) -> None:
    assert found_in(file.read_text()) == []


@pytest.mark.parametrize("kind", VALID)
def test_valid_manifest_has_no_mistake(kind: str) -> None:
    assert found_in(json.dumps(VALID[kind])) == []


def test_the_packaged_crds_are_those_of_the_project() -> None:
    ours = {file.name: file.read_text() for file in (ROOT / "crds").glob("*.yaml")}
    assert {file.name: file.read_text() for file in CRDS.iterdir()} == ours


def test_key_that_is_given_twice_is_found() -> None:
    [finding] = found_in(yaml.safe_dump(VALID["MLJob"]) + "  dagId: again\n")
    assert (finding.path, finding.message) == ("spec.dagId", "is given twice")


def test_merge_key_is_no_duplicate() -> None:
    text = "base: &base {dagId: a, backoffLimit: 3}\n---\n"
    job = "apiVersion: mljob.dev/v1alpha1\nkind: MLJob\nmetadata: {name: a}\nspec:\n  <<: {dagId: a, backoffLimit: 3}\n  dagId: b\n"
    [_, document] = documents(text + job)
    assert document.value["spec"] == {"dagId": "b", "backoffLimit": 3}
    assert check(document) == []


@pytest.mark.parametrize("kind", ["MLjob", "Mljob", "MLJobs"])
def test_misspelt_kind_is_found(kind: str) -> None:
    [finding] = found_in(yaml.safe_dump({**VALID["MLJob"], "kind": kind}))
    assert "did you mean MLJob?" in finding.message


@pytest.mark.parametrize(("kind", "limit"), [("MLJob", 140), ("AirflowInstance", 253)])
def test_name_has_the_limit_of_its_kind(kind: str, limit: int) -> None:
    (finding,) = found_in(yaml.safe_dump({**VALID[kind], "metadata": {"name": "Bad_name"}}))
    assert str(finding).startswith("metadata.name: 'Bad_name' is not a name")
    assert f" at most {limit} lower-case letters" in finding.message


def test_version_that_is_not_served_is_found() -> None:
    [finding] = found_in(yaml.safe_dump({**VALID["MLJob"], "apiVersion": "mljob.dev/v1"}))
    assert finding.message == "'mljob.dev/v1' is not served; write mljob.dev/v1alpha1"


@pytest.mark.parametrize("part", ["spec", "metadata"])
def test_missing_part_is_found(part: str) -> None:
    job = {name: value for name, value in VALID["MLJob"].items() if name != part}
    assert [(finding.path, finding.message[:10]) for finding in found_in(yaml.safe_dump(job))] == [
        (part, "is missing"[:10])
    ]


def test_times_and_numbers_of_a_conf_are_those_of_json() -> None:
    [document] = documents(conf("{at: 2026-01-01T00:00:00Z, rate: 1.5, many: 3, quick: true}"))
    assert document.value["spec"]["conf"] == {"at": "2026-01-01T00:00:00Z", "rate": 1.5, "many": 3, "quick": True}


@pytest.mark.parametrize(("scalar", "value"), SCALARS.items())
def test_scalar_is_read_as_kubectl_reads_it(scalar: str, value: Any) -> None:
    [document] = documents(f"v: {scalar}")
    read = document.value["v"]
    assert (read, isinstance(read, bool), document.findings) == (value, isinstance(value, bool), [])


@pytest.mark.parametrize(("key", "stored"), KEYS.items())
def test_key_that_kubectl_changes_is_found(key: str, stored: str | None) -> None:
    [document] = documents(f"{{{key}: 1}}")
    [read] = document.value
    said = "refuses this key" if stored is None else f"stores it as {stored!r}"
    assert [str(finding) for finding in document.findings] == (
        [] if stored == read else [f"{read}: is a key without quotes, and kubectl {said}; quote it"]
    )


@pytest.mark.parametrize("text", [*SCALARS, *KEYS])
def test_printed_text_is_read_as_the_same_text(text: str) -> None:
    [document] = documents(text_of({text: text}, Format.YAML))
    assert (document.value, document.findings) == ({text: text}, [])


def test_whole_number_with_an_exponent_is_an_integer() -> None:
    assert found_in(yaml.safe_dump(VALID["MLJob"]) + "  activeDeadlineSeconds: 1e3\n") == []
    [finding] = found_in(yaml.safe_dump(VALID["MLJob"]) + "  activeDeadlineSeconds: 1.5e0\n")
    assert finding.path == "spec.activeDeadlineSeconds"


@pytest.mark.parametrize("number", [".nan", "-.inf", "!!float 1.0e+999"])
def test_number_that_json_lacks_is_found(number: str) -> None:
    [finding] = found_in(conf(f"{{rate: {number}}}"))
    assert finding.path == "spec.conf.rate"
    assert number.removeprefix("!!float ") in finding.message


def test_conf_over_the_limits_of_the_operator_is_found() -> None:
    deep = "{a: " * 33 + "1" + "}" * 33
    assert [str(finding) for finding in found_in(conf(deep))] == ["spec.conf: has 33 levels, more than 32"]
    large = json.dumps({"text": "x" * 300_000})
    assert "more than 262144" in str(found_in(conf(large))[0])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "line 2: is not YAML"),
        ("a: !!python/object/name:os.system", "is not a value of YAML's tag"),
        ("[" * (MAX_LEVELS + 2) + "]" * (MAX_LEVELS + 2), "nested deeper"),
        ("[" * 100_000, "nested deeper"),
        ("&a [*a]", "deeper"),
        ("a: 1\n---\n" * (MAX_DOCUMENTS + 1), "documents"),
        ("x" * (9 * 1024 * 1024), "bytes"),
        ("a: \x00", "YAML"),
        (
            "a: &a [" + "x," * 999 + "]\nb: &b [" + "*a," * 999 + "]\nc: [" + "*b," * 999 + "]",
            f"more than {MAX_NODES} values",
        ),
    ],
    ids=["broken", "tag", "deep", "deeper", "cycle", "many", "large", "control", "bomb"],
)
def test_hostile_file_is_refused_with_a_reason(text: str, why: str) -> None:
    assert re.search(why, " ".join(reasons(text)))


def test_names_from_the_file_are_harmless_in_messages() -> None:
    text = yaml.safe_dump({**VALID["MLJob"], "spec": {"dagId": "a", "\x1b]0;title\x07\u202e" + "x" * 900: 1}})
    [finding] = found_in(text)
    assert "\x1b" not in str(finding)
    assert "\u202e" not in str(finding)
    assert len(str(finding)) < 400
