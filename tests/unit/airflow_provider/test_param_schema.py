"""A pydantic model and its Airflow params accept the same confs."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Literal, Self

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from mljob_airflow.jobs.param_schema import (
    REQUIRED,
    ConfError,
    DeclarationError,
    ParamSpec,
    outputs_of,
    params_of,
    parse,
    problems,
)

Kind = tuple[Any, st.SearchStrategy[Any]]
"""A type, and a strategy for JSON values that the type accepts."""

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True).filter(lambda name: not hasattr(BaseModel, name))
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
INTEGERS = st.integers(-(10**9), 10**9)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@st.composite
def integers(draw: st.DrawFn) -> Kind:
    least, most = sorted((draw(INTEGERS), draw(INTEGERS)))
    return Annotated[int, Field(ge=least, le=most)], st.integers(least, most)


@st.composite
def numbers(draw: st.DrawFn) -> Kind:
    least, most = sorted((draw(NUMBERS), draw(NUMBERS)))
    return Annotated[float, Field(ge=least, le=most)], st.floats(least, most)


@st.composite
def texts(draw: st.DrawFn) -> Kind:
    least, most = sorted((draw(st.integers(0, 5)), draw(st.integers(0, 5))))
    return Annotated[str, Field(min_length=least, max_length=most)], st.text(min_size=least, max_size=most)


@st.composite
def choices(draw: st.DrawFn) -> Kind:
    words = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return Literal[tuple(words)], st.sampled_from(words)


LEAVES = st.one_of(
    integers(),
    numbers(),
    texts(),
    choices(),
    st.just((bool, st.booleans())),
    st.just((Colour, st.sampled_from(["red", "blue"]))),
    st.just((Annotated[str, Field(pattern="^[a-z]+-[0-9]$")], st.from_regex("[a-z]{1,3}-[0-9]", fullmatch=True))),
)


def containers(kinds: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    def list_of(kind: Kind, least: int) -> Kind:
        items: Any = list[kind[0]]  # type: ignore[valid-type]  # a type that is made while the test runs
        return Annotated[items, Field(min_length=least, max_length=3)], st.lists(kind[1], min_size=least, max_size=3)

    def dict_of(kind: Kind) -> Kind:
        return dict[str, kind[0]], st.dictionaries(NAMES, kind[1], max_size=2)  # type: ignore[valid-type]

    return st.one_of(
        st.builds(list_of, kinds, st.integers(0, 2)),
        kinds.map(dict_of),
        kinds.map(lambda kind: (kind[0] | None, st.none() | kind[1])),
        models(kinds, max_size=2),
    )


@st.composite
def models(draw: st.DrawFn, kinds: st.SearchStrategy[Kind], max_size: int = 4) -> Kind:
    """Draw a model, and a strategy for confs that fit the model. The types of the model's fields
    are drawn from ``kinds``.
    """
    fields: dict[str, Any] = {}
    required, optional = {}, {}
    for name, (annotation, values) in draw(st.dictionaries(NAMES, kinds, min_size=1, max_size=max_size)).items():
        if draw(st.booleans()):
            default = TypeAdapter(annotation).validate_json(json.dumps(draw(values)))
            fields[name], optional[name] = (annotation, default), values
        else:
            fields[name], required[name] = (annotation, ...), values
    config = ConfigDict(extra=draw(st.sampled_from(["ignore", "forbid"])))
    # Models share names, like classes in different functions, to show that definitions aren't mixed
    # up.
    model = create_model(draw(st.sampled_from(["Inner", "Other"])), __config__=config, **fields)
    return model, st.fixed_dictionaries(required, optional=optional)


MODELS = models(st.recursive(LEAVES, containers, max_leaves=5))
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def refusals(model: type[BaseModel], conf: dict[str, Any]) -> list[str]:
    """Return the reasons for which Airflow would refuse the conf."""
    found = []
    for spec in params_of(model):
        value = conf.get(spec.name, spec.default)
        found += ["required"] if value is REQUIRED else problems(value, spec.schema)
    return found


@given(st.data())
def test_the_params_accept_every_conf_that_the_model_accepts(data: st.DataObject) -> None:
    model, confs = data.draw(MODELS)
    conf = data.draw(confs)

    parsed = parse(model, conf)

    assert refusals(model, conf) == []
    assert refusals(model, parsed.model_dump(mode="json")) == []


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, Any]]:
    """Draw a model, and a conf in which some values may be invalid."""
    model, confs = draw(MODELS)
    conf = draw(confs)
    return model, {name: draw(st.just(value) | JSON) for name, value in conf.items()}


@given(spoilt())
def test_the_model_accepts_every_conf_that_the_params_accept(case: tuple[type[BaseModel], dict[str, Any]]) -> None:
    model, conf = case
    assume(refusals(model, conf) == [])

    parse(model, conf)


@given(spoilt())
def test_the_params_accept_every_conf_that_the_model_accepts_unchanged(
    case: tuple[type[BaseModel], dict[str, Any]],
) -> None:
    model, conf = case
    try:
        model.model_validate_json(json.dumps(conf), strict=True)
    except ValidationError:
        assume(False)

    assert refusals(model, conf) == []


@given(st.data())
def test_the_default_of_a_param_is_the_default_of_the_model(data: st.DataObject) -> None:
    model, confs = data.draw(MODELS)
    conf = data.draw(confs)
    defaults = {spec.name: spec.default for spec in params_of(model) if not spec.required}

    assert parse(model, defaults | conf) == parse(model, conf)


class Schedule(BaseModel):
    """How the learning rate changes."""

    kind: Literal["constant", "cosine"] = "constant"
    warmup: int = Field(0, ge=0)


class Tree(BaseModel):
    label: str
    children: list[Tree] = []


class Params(BaseModel):
    required: int
    optional: int | None = None
    colour: Colour = Colour.RED
    colour_or_none: Colour | None = None
    schedule: Schedule = Schedule()
    own_words: Schedule = Field(Schedule(warmup=3), description="Of the second phase.")
    tree: Tree | None = None
    day: datetime.date = datetime.date(2026, 1, 2)
    made: list[int] = Field(default_factory=lambda: [1, 2])
    titled: str = Field("x", title="A title")
    renamed: str = Field("x", alias="in-conf")
    either: Annotated[int, Field(ge=0)] | str = 0


@pytest.fixture(scope="module")
def specs() -> dict[str, ParamSpec]:
    return {spec.name: spec for spec in params_of(Params)}


def test_a_field_without_a_default_is_required(specs: dict[str, ParamSpec]) -> None:
    assert [name for name, spec in specs.items() if spec.required] == ["required"]


def test_a_union_with_none_is_a_type_list_with_null(specs: dict[str, ParamSpec]) -> None:
    assert specs["optional"].schema == {"type": ["integer", "null"]}
    assert specs["colour_or_none"].schema == {"type": ["string", "null"], "enum": ["red", "blue", None]}
    assert specs["optional"].default is None


def test_references_are_resolved_in_place(specs: dict[str, ParamSpec]) -> None:
    assert specs["colour"].schema == {"type": "string", "enum": ["red", "blue"]}
    assert specs["schedule"].schema["properties"]["kind"]["enum"] == ["constant", "cosine"]
    assert specs["schedule"].default == {"kind": "constant", "warmup": 0}


def test_the_description_of_a_field_overrides_that_of_its_model(specs: dict[str, ParamSpec]) -> None:
    assert (specs["schedule"].description, specs["own_words"].description) == (
        "How the learning rate changes.",
        "Of the second phase.",
    )


def test_a_recursive_model_keeps_its_definition(specs: dict[str, ParamSpec]) -> None:
    assert problems({"label": "a", "children": [{"label": "b"}]}, specs["tree"].schema) == []
    assert problems({"label": "a", "children": [{"name": "b"}]}, specs["tree"].schema)


def test_defaults_are_json(specs: dict[str, ParamSpec]) -> None:
    assert (specs["day"].default, specs["colour"].default, specs["made"].default) == ("2026-01-02", "red", [1, 2])


def test_a_param_has_the_name_that_a_conf_uses(specs: dict[str, ParamSpec]) -> None:
    assert "in-conf" in specs
    assert parse(Params, {"required": 1, "in-conf": "y"}).renamed == "y"


def test_only_a_title_that_the_author_chose_stays(specs: dict[str, ParamSpec]) -> None:
    assert {name: spec.schema["title"] for name, spec in specs.items() if "title" in spec.schema} == {
        "titled": "A title"
    }


def test_airflow_can_store_every_schema(specs: dict[str, ParamSpec]) -> None:
    # SerializedParam(default=, description=, source=, **schema)
    assert [name for name, spec in specs.items() if {"default", "description", "source"} & set(spec.schema)] == []


def declared(**fields: Any) -> type[BaseModel]:
    return create_model("Declared", **fields)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (declared(at=(uuid.UUID, Field(default_factory=uuid.uuid4))), "Declared.at changes with each call"),
        (
            declared(a=(int, 1), b=(int, Field(default_factory=lambda data: data["a"]))),
            "Declared.b is not a JSON value",
        ),
        (declared(raw=(Any, object())), "Declared.raw is not a JSON value"),
        (declared(rate=(float, float("nan"))), "Declared.rate is not a JSON value"),
        (declared(epochs=(int, Field(0, ge=1))), "Declared.epochs is 0, which the field refuses"),
        (declared(call=(Callable[[], int], ...)), "Declared has no JSON Schema"),
        (RootModel[list[int]], "has no fields"),
    ],
    ids=["changing", "dependent", "object", "nan", "refused", "no schema", "root"],
)
def test_a_model_that_airflow_cannot_store_is_refused_with_the_way_out(model: type[BaseModel], complaint: str) -> None:
    with pytest.raises(DeclarationError, match=complaint):
        params_of(model)


def test_rules_between_fields_are_validated_by_the_model() -> None:
    class Bounds(BaseModel):
        low: int = 5
        high: int = 1

        @model_validator(mode="after")
        def in_order(self) -> Self:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    assert len(params_of(Bounds)) == 2
    with pytest.raises(ConfError, match="the conf does not fit Bounds: conf: Value error, low is above high"):
        parse(Bounds, {"low": 2, "high": 1})


def test_an_error_names_the_path() -> None:
    with pytest.raises(ConfError, match=r"conf\.schedule\.warmup: Input should be greater than or equal to 0"):
        parse(Params, {"required": 1, "schedule": {"warmup": -1}})


def test_a_strict_model_reads_a_date_from_a_string() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: datetime.date

    assert parse(Strict, {"day": "2026-01-02"}).day == datetime.date(2026, 1, 2)


def test_outputs_have_no_defaults() -> None:
    [spec] = outputs_of(declared(score=(float, Field(0.0, description="How good."))))
    assert (spec.name, spec.schema, spec.description, spec.required) == ("score", {"type": "number"}, "How good.", True)
