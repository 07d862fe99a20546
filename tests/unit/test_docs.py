"""The documentation says what the code says: lists are derived from the code, so a new field, reason or setting without a word of it fails here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

import mljob_operator.core.notices
import mljob_operator.core.report
import mljob_operator.job_queue
from mljob_contract.mljob import KIND, MLJobSpec, MLJobStatus, Phase
from mljob_operator.adapters.metrics import Metrics
from mljob_operator.core.decisions import Effort
from mljob_operator.core.report import Story, _conditions
from mljob_operator.errors import OperatorError
from mljob_operator.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
API = (ROOT / "docs" / "spec" / "mljob.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def section(text: str, title: str) -> str:
    """A heading's text, up to the next heading of its level or a higher one."""
    match = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert match, f"there is no heading {title!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def first_cells(text: str) -> set[str]:
    """What stands in backticks at the beginning of a table's rows."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The model's fields by their names in YAML, nested ones with their path."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        yield path
        inner, is_list = inner_model(field.annotation)
        if inner is not None:
            yield from fields(inner, f"{path}[]." if is_list else f"{path}.")


def inner_model(annotation: Any, is_list: bool = False) -> tuple[type[BaseModel] | None, bool]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, is_list
    for argument in get_args(annotation):
        found = inner_model(argument, is_list or getattr(annotation, "__origin__", None) is list)
        if found[0] is not None:
            return found
    return None, False


def words_passed_to(call: str, position: int, *modules: Any) -> set[str]:
    """The CamelCase constants that the modules pass to a class as an argument."""
    found = set()
    for module in modules:
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == call:
                found |= {
                    part.value
                    for part in ast.walk(node.args[position])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value
                }
    return found


def tree(error: type[OperatorError]) -> Iterator[type[OperatorError]]:
    yield error
    for child in error.__subclasses__():
        yield from tree(child)


def schema_of(path: str) -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / "mljobs.mljob.dev.yaml").read_text())
    node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for part in path.split("."):
        node = node["properties"][part]
    return node


@pytest.mark.parametrize("path", list(fields(MLJobSpec)))
def test_each_spec_field_has_its_section_with_values_and_bounds(path: str) -> None:
    told = section(API, f"`{path}`")
    schema = schema_of(path)
    for value in schema.get("enum", []):
        assert f"`{value}`" in told
    for bound in ("minimum", "maximum", "minLength", "maxLength", "pattern"):
        assert str(schema.get(bound, "")) in told
    if (default := schema.get("default")) not in (None, {}):
        assert re.search(rf"(?i)`?{default}`?, the default|default:? `?{default}\b", told)


def test_each_status_field_is_in_a_table() -> None:
    described = first_cells(section(API, "Reading the status"))
    in_detail = ("conditions[].",)  # metav1.Condition's
    assert {path for path in fields(MLJobStatus) if not path.startswith(in_detail)} == described


def test_each_phase_is_explained() -> None:
    described = section(API, "Phases")
    assert [phase for phase in Phase if f"`{phase}`" not in described] == []


def test_each_reason_is_explained_and_no_other() -> None:
    errors = {error.reason for error in tree(OperatorError)}
    stories = words_passed_to("Story", 1, mljob_operator.core.report)
    told = section(API, "Reasons")
    assert {reason for reason in errors | stories if f"`{reason}`" not in told} == set()
    assert first_cells(told) <= errors | stories


def test_each_event_reason_is_explained_and_no_other() -> None:
    recorded = words_passed_to("Notice", 1, mljob_operator.core.notices, mljob_operator.job_queue)
    assert recorded == first_cells(section(API, "Events"))


def test_each_condition_is_explained_and_no_other() -> None:
    made = {wanted.type for phase in Phase for wanted in _conditions(Story(phase, "Reason", ""), Effort())}
    assert made == first_cells(section(API, "Conditions"))


def test_the_printer_columns_are_named() -> None:
    crd = yaml.safe_load((ROOT / "crds" / "mljobs.mljob.dev.yaml").read_text())
    columns = [column["name"] for column in crd["spec"]["versions"][0]["additionalPrinterColumns"]]
    sentence = " ".join(re.search(r"prints the columns .*?\.\n", API, re.DOTALL)[0].split())
    assert [column for column in columns if column not in sentence] == []


def test_each_setting_is_explained_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(MLJOB_[A-Z_]+)` \| (.*?) \|", section(OPERATIONS, "Settings"), re.MULTILINE))
    assert set(rows) == {f"MLJOB_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        told = rows[f"MLJOB_{name.upper()}"]
        if field.is_required():
            assert told == "required"
        elif field.default not in (None, ()):
            assert told == f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def test_each_metric_is_explained_with_its_type() -> None:
    rows = dict(re.findall(r"^\| `(mljob_\w+)` \| (\w+) \|", section(OPERATIONS, "Metrics"), re.MULTILINE))
    exposed = {
        metric.name + ("_total" if metric.type == "counter" else ""): metric.type
        for metric in Metrics().registry.collect()
    }
    assert rows == exposed


@pages
def test_yaml_examples_fit_the_api(page: Path) -> None:
    for block in re.findall(r"^ *```yaml\n(.*?)```", page.read_text(), re.DOTALL | re.MULTILINE):
        document = yaml.safe_load(block)
        for part, model in (("spec", MLJobSpec), ("status", MLJobStatus)):
            if part in document and document.get("kind", KIND) == KIND:
                assert_known(document[part], model)
                model.model_validate(document[part])


def assert_known(value: Any, model: type[BaseModel]) -> None:
    """Pydantic ignores what it doesn't know; an example must not have it."""
    if isinstance(value, list):
        for item in value:
            assert_known(item, model)
        return
    known = {field.alias or name: field for name, field in model.model_fields.items()}
    assert set(value) <= set(known)
    for name, child in value.items():
        inner, _ = inner_model(known[name].annotation)
        if inner is not None:
            assert_known(child, inner)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ )make ([a-z]+)", page.read_text(), re.MULTILINE))
    assert named <= targets


@pages
def test_folders_in_backticks_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:operator|contract|charts|crds|devstack|examples|docs|tests|requirements)/[\w./-]*)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []
