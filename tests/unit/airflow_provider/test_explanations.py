"""The texts that explain DAGs, params and fields to users."""

from __future__ import annotations

import textwrap
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from mljob_airflow.jobs.catalog import DagEntry
from mljob_airflow.jobs.explanations import UnknownPath, bounds, explain, type_name
from mljob_airflow.jobs.param_schema import outputs_of, params_of
from mljob_contract.job_type import JobType


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Schedule(BaseModel):
    """A schedule by which the learning rate falls."""

    kind: Literal["constant", "cosine"] = "cosine"
    warmup: int = Field(0, ge=0, description="Steps at the beginning.")


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


Nested = TypeAliasType("Nested", "list[Nested]")


class Params(BaseModel):
    model_id: str = Field(pattern="^[a-z]+$", description="Id under which the model is published.")
    families: list[Literal["a", "b"]] = Field(["a"], min_length=1)
    schedule: Schedule = Schedule()
    phases: list[Schedule] = []
    tree: Tree | None = None
    level: Level = Level.LOW
    either: Annotated[int, Field(gt=0)] | str | None = None
    whatever: Any = None
    nested: Nested = []


class Outputs(BaseModel):
    accuracy: float = Field(description="Share that is right.")


ENTRY = DagEntry(
    "train_model",
    JobType.TRAINING,
    "ml-platform",
    "Trains a neural network",
    params_of(Params),
    outputs_of(Outputs),
    is_job=True,
)


def test_a_dag_is_explained_with_params_and_outputs() -> None:
    text = explain(ENTRY)
    assert text.startswith(
        textwrap.dedent(
            """\
            DAG:      train_model
            TYPE:     Training
            OWNER:    ml-platform

            DESCRIPTION:
                Trains a neural network

            PARAMS:
              model_id\t<string> -required-
                pattern ^[a-z]+$
                Id under which the model is published.

              families\t<[]string>
                at least 1 items, each one of a, b, default ["a"]

            """
        )
    )
    assert text.endswith("OUTPUTS:\n  accuracy\t<number>\n    Share that is right.\n")


def test_a_param_is_explained_with_its_valid_values() -> None:
    assert explain(ENTRY, ["families"]) == textwrap.dedent(
        """\
        DAG:      train_model
        PARAM:    families <[]string>

        VALUE:
            at least 1 items
            each one of a, b
            default ["a"]
        """
    )


def test_a_field_of_a_param_is_explained() -> None:
    assert explain(ENTRY, ["schedule", "warmup"]) == textwrap.dedent(
        """\
        DAG:      train_model
        PARAM:    schedule.warmup <integer>

        DESCRIPTION:
            Steps at the beginning.

        VALUE:
            at least 0
            default 0
        """
    )


@pytest.mark.parametrize(
    "path", [["nested"], ["phases"], ["phases", "warmup"], ["tree"], ["tree", "children", "children", "label"]]
)
def test_fields_of_lists_and_recursive_models_are_explained(path: list[str]) -> None:
    assert f"PARAM:    {'.'.join(path)} <" in explain(ENTRY, path)


def test_fields_are_listed() -> None:
    assert (
        'FIELDS:\n  kind\t<string>\n    one of constant, cosine, default "cosine"\n\n  warmup\t<integer>\n'
        in explain(ENTRY, ["schedule"])
    )
    assert "  label\t<string> -required-" in explain(ENTRY, ["tree"])


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        (["epochs"], "train_model has no param 'epochs': its params are model_id, families"),
        (["schedule", "warm"], "train_model.schedule has no field 'warm': did you mean 'warmup'?"),
        (["model_id", "x"], "train_model.model_id has no field 'x': it has no fields"),
    ],
)
def test_an_unknown_path_names_the_known_ones(path: list[str], complaint: str) -> None:
    with pytest.raises(UnknownPath) as unknown:
        explain(ENTRY, path)
    assert complaint in str(unknown.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model_id", "string"),
        ("families", "[]string"),
        ("phases", "[]object"),
        ("tree", "object or null"),
        ("level", "integer"),
        ("either", "integer or string or null"),
        ("whatever", "any"),
        ("nested", "[]any"),
    ],
)
def test_the_name_of_a_type(name: str, kind: str) -> None:
    param = ENTRY.param(name)
    assert param is not None
    assert type_name(param.schema) == kind


def test_a_schema_without_a_type_has_a_name() -> None:
    assert type_name({"enum": ["digits", "wine", 3]}) == "string or integer"
    assert type_name({"type": "array", "items": {"type": ["string", "null"]}}) == "[](string or null)"
    assert type_name({}) == "any"


def test_the_bounds_of_a_schema_in_words() -> None:
    assert bounds({"minimum": 1, "maximum": 5}) == ["1 to 5"]
    assert bounds({"exclusiveMinimum": 0, "maximum": 1}) == ["at most 1", "more than 0"]
    assert bounds({"minItems": 1, "maxItems": 100, "maxLength": 5}) == ["at most 5 characters", "1 to 100 items"]
    assert bounds({"minItems": 64, "maxItems": 64}) == ["64 items"]
    assert bounds({"const": None}) == ["always null"]
    assert bounds({"uniqueItems": True, "items": {"pattern": "^a$"}}) == ["all different", "each pattern ^a$"]
