"""The provider generates the manifest of an MLJob for a DAG."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from mljob_airflow.jobs.catalog import DagEntry
from mljob_airflow.jobs.manifests import (
    API_VERSION,
    KIND,
    MAX_NAME_LENGTH,
    ManifestError,
    default_name,
    in_yaml,
    manifest,
    missing,
    set_values,
)
from mljob_airflow.jobs.param_schema import ParamSpec, outputs_of, params_of
from mljob_contract import mljob, resource
from mljob_contract.job_type import JobType


class Optimizer(BaseModel):
    kind: Literal["sgd", "adam"] = "adam"
    rate: float = Field(0.001, gt=0)


class Params(BaseModel):
    dataset: str = Field(min_length=1, description="What to learn from.\nA name, or an address.")
    shards: int = Field(ge=1, examples=[4])
    epochs: int = Field(20, ge=1, le=1000, description="Passes over it.")
    answer: str = "y"
    optimizer: Optimizer = Optimizer()
    limit: int | None = None


class Outputs(BaseModel):
    score: float = Field(description="How good it is.")


ENTRY = DagEntry(
    "Train.model_2", JobType.TRAINING, "ml", "Trains: a model", params_of(Params), outputs_of(Outputs), is_job=True
)


def read(text: str) -> dict[str, Any]:
    document = yaml.safe_load(text)
    mljob.MLJobSpec.model_validate(document["spec"])
    return document


def uncommented(text: str) -> str:
    """Return the manifest without the ``#`` before each default value. Comments with ``##`` are
    left out.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("##")]
    return "\n".join(line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in lines)


def test_a_manifest_is_an_mljob_of_the_dags_type() -> None:
    document = read(manifest(ENTRY, namespace="team-a"))
    assert (document["apiVersion"], document["kind"]) == (API_VERSION, KIND) == (resource.API_VERSION, mljob.KIND)
    assert document["metadata"] == {"name": "train.model-2", "namespace": "team-a"}
    assert document["spec"]["type"] == "Training"
    assert document["spec"]["dagId"] == "Train.model_2"


def test_a_required_param_is_its_example_or_null() -> None:
    assert read(manifest(ENTRY))["spec"]["conf"] == {"dataset": None, "shards": 4}
    assert missing(ENTRY, {"dataset": "d"}) == ["shards"]


def test_a_manifest_has_the_values_that_are_set() -> None:
    conf = set_values(ENTRY, {"dataset": "digits", "epochs": "5", "optimizer.rate": "0.1", "limit": "null"})
    assert read(manifest(ENTRY, conf=conf))["spec"]["conf"] == {
        "dataset": "digits",
        "shards": 4,
        "epochs": 5,
        "optimizer": {"kind": "adam", "rate": 0.1},
        "limit": None,
    }


def test_an_uncommented_manifest_has_every_default() -> None:
    conf = yaml.safe_load(uncommented(manifest(ENTRY, conf={"dataset": "d"})))["spec"]["conf"]
    assert conf == {"dataset": "d", "shards": 4} | {spec.name: spec.default for spec in ENTRY.params[2:]}


def test_a_dag_whose_params_all_have_defaults_needs_no_conf() -> None:
    entry = DagEntry("d", params=ENTRY.params[2:])
    assert "conf" not in read(manifest(entry))["spec"]
    assert yaml.safe_load(uncommented(manifest(entry)))["spec"]["conf"]["epochs"] == 20


def test_comments_have_the_valid_values() -> None:
    text = manifest(ENTRY)
    assert "    ## integer, 1 to 1000, default 20\n    # epochs: 20\n" in text
    assert "    ## What to learn from.\n    ## A name, or an address.\n" in text
    assert "    ## string, at least 1 characters, required\n" in text
    assert "  ##   score <number>: How good it is.\n" in text


@pytest.mark.parametrize(
    ("assignments", "complaint"),
    [
        ({"epoch": "5"}, "has no param 'epoch': did you mean 'epochs'"),
        ({"zzz": "5"}, "its params are dataset, shards, epochs"),
        ({"epochs": "0"}, "epochs=0: 0 is less than the minimum of 1"),
        ({"epochs": "many"}, "'many' is not of type 'integer'"),
        ({"optimizer.kind": "sdg"}, "kind: 'sdg' is not one of"),
        ({"epochs": "3", "epochs.x": "1"}, "epochs is 3, which has no fields"),
    ],
)
def test_a_value_that_the_dag_refuses_is_an_error(assignments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ManifestError) as refused:
        manifest(ENTRY, conf=set_values(ENTRY, assignments))
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    ("assignments", "complaint"),
    [
        ({"rate": "NaN"}, "rate=NaN: JSON has neither NaN nor Infinity; use a finite number"),
        ({"rate": "-Infinity"}, "rate=-Infinity: JSON has neither NaN nor Infinity"),
        ({"rate": "1e400"}, "rate=Infinity: JSON has neither NaN nor Infinity"),
        ({"object": '{"rate": NaN}'}, 'object={"rate": NaN}: JSON has neither NaN nor Infinity'),
        ({"object": "[" * 100_000}, "object: the value is nested too deeply"),
        ({"object.a": "[" * 100_000}, "object.a: the value is nested too deeply"),
        ({"object": '{"a":' * 32 + "1" + "}" * 32}, "object: the value is nested too deeply"),
        ({".".join(["object"] * 2000): "1"}, "object: the value is nested too deeply"),
    ],
    ids=["nan", "infinity", "overflow", "nan-in-object", "brackets", "field", "levels", "path"],
)
def test_a_value_that_no_conf_can_have_is_an_error(assignments: dict[str, str], complaint: str) -> None:
    params = (ParamSpec("rate", {"type": "number"}, None, 0.1), ParamSpec("object", {"type": "object"}, None, {}))
    entry = DagEntry("d", params=params)
    with pytest.raises(ManifestError) as refused:
        manifest(entry, conf=set_values(entry, assignments))
    assert str(refused.value).startswith(complaint)


def test_a_value_may_have_all_levels_of_a_conf_but_one() -> None:
    entry = DagEntry("d", params=(ParamSpec("object", {"type": "object"}),))
    conf = set_values(entry, {"object": '{"a":' * 31 + "1" + "}" * 31})
    assert read(manifest(entry, conf=conf))["spec"]["conf"] == conf


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a..b", "a.-b", "a" * (MAX_NAME_LENGTH + 1), "a\n"])
def test_a_name_that_is_invalid_in_kubernetes_is_an_error(name: str) -> None:
    if name:
        with pytest.raises(ManifestError, match="is not a valid name for an MLJob"):
            manifest(ENTRY, name=name)


@given(st.from_regex(r"[A-Za-z0-9_.\-]{1,250}", fullmatch=True))
def test_every_dag_id_makes_a_name(dag_id: str) -> None:
    assert read(manifest(DagEntry(dag_id)))["spec"]["dagId"] == dag_id
    assert 1 <= len(default_name(dag_id)) <= MAX_NAME_LENGTH
    assert all(re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", label) for label in default_name(dag_id).split("."))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_every_json_value_is_one_line_of_yaml_that_reads_back(value: Any) -> None:
    text = in_yaml(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value
    # The text also reads back at its place in a manifest, as after a default is uncommented.
    assert yaml.safe_load(f"a:\n  b: {text}\n") == {"a": {"b": value}}


@pytest.mark.parametrize(
    "word", ["y", "n", "Y", "yes", "no", "on", "off", "null", "~", "1e-05", "0x1f", "1_000", "2026-01-02"]
)
def test_an_ambiguous_string_is_quoted(word: str) -> None:
    assert in_yaml(word) in (f"'{word}'", json.dumps(word))


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4), st.text())
def test_any_names_descriptions_and_defaults_make_a_manifest(params: dict[str, Any], description: str) -> None:
    specs = tuple(ParamSpec(name, {}, description, default) for name, default in params.items())
    entry = DagEntry("d", description=description, params=specs)
    text = manifest(entry, conf=dict(list(params.items())[:1]))

    assert yaml.safe_load(text)["spec"]["conf"] == dict(list(params.items())[:1])
    assert yaml.safe_load(uncommented(text))["spec"]["conf"] == params
