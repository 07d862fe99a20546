"""The documentation agrees with the code."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

import mljob_operator.controllers.airflow_instance.controller
import mljob_operator.controllers.airflow_instance.logins
import mljob_operator.controllers.airflow_instance.registry
import mljob_operator.controllers.mljob.status_writer
import mljob_operator.core.airflow_instance.catalog
import mljob_operator.core.status.airflow_instance
import mljob_operator.core.status.backfill
import mljob_operator.core.status.events
import mljob_operator.core.status.messages
import mljob_operator.core.status.mljob_conditions
import mljob_operator.core.status.single_run
from crds import reference
from docs.build import PICTURES, on_site
from mljob_contract import airflow_instance
from mljob_contract.airflow_instance import AirflowInstanceSpec, AirflowInstanceStatus
from mljob_contract.mljob import KIND, MLJobSpec, MLJobStatus, Phase
from mljob_operator.adapters.metrics import Metrics
from mljob_operator.api.metrics import ApiMetrics
from mljob_operator.api.settings import ApiSettings
from mljob_operator.core.mljob.classification.cancellation import CancelReason
from mljob_operator.core.mljob.classification.state import Stage
from mljob_operator.core.mljob.decisions import POLICIES
from mljob_operator.core.mljob.upstream import FAILED, WAITING
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.states import TRANSITIONS
from mljob_operator.core.run.vanishing import REASON as RUNS_VANISHED
from mljob_operator.errors import AirflowError, KafkaUnavailable, OperatorError
from mljob_operator.settings import Settings
from tests import libyaml
from tests.pages import PAGES, ROOT

SUMMARIES = (
    mljob_operator.core.status.messages,
    mljob_operator.core.status.single_run,
    mljob_operator.core.status.backfill,
)
API = (ROOT / "docs" / "spec" / "mljob.md").read_text()
INSTANCES = (ROOT / "docs" / "spec" / "airflowinstance.md").read_text()
RESOURCES: dict[str, tuple[str, str, type[BaseModel], type[BaseModel]]] = {
    KIND: (API, "mljobs", MLJobSpec, MLJobStatus),
    airflow_instance.KIND: (INSTANCES, "airflowinstances", AirflowInstanceSpec, AirflowInstanceStatus),
}
"""The page, the plural, and the models of spec and status of each kind."""
OPERATIONS = ROOT / "docs" / "operations"

GITHUB = tuple(sorted(path for suffix in ("md", "yml") for path in (ROOT / ".github").rglob(f"*.{suffix}")))
"""The files that GitHub reads: forms of issues and pull requests, workflows, and the settings of
Dependabot.
"""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


pages = pytest.mark.parametrize("page", PAGES, ids=name_of)
pages_and_github = pytest.mark.parametrize("page", [*PAGES, *GITHUB], ids=name_of)


def section(text: str, title: str) -> str:
    match = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert match, f"there is no heading {title!r}"
    rest = text[match.end() :]
    end = re.search(rf"^#{{1,{len(match[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def first_cells(text: str) -> set[str]:
    """Return the names in the first column of all tables of a Markdown text. A cell counts only if
    it consists of one name in backticks, which may be a link.
    """
    return set(re.findall(r"^\| \[?`([^`]+)`(?:\]\([^)]*\))? \|", text, re.MULTILINE))


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
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
    """Return all string constants, except empty ones, in one argument of the calls of a function.

    Args:
        call: The name of the function.
        position: The index of the argument, from 0.
        modules: The modules whose source code is searched for calls.
    """
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


def in_words(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


@cache
def definition(plural: str) -> dict[str, Any]:
    return libyaml.load((ROOT / "crds" / f"{plural}.mljob.dev.yaml").read_text())


def described(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in node.get("properties", {}).items():
        yield f"{path}.{name}", field.get("description", "")
        yield from described(field, f"{path}.{name}")
        yield from described(field.get("items", {}), f"{path}.{name}[]")


@pytest.mark.parametrize("file", sorted((ROOT / "crds").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_field_has_a_description_for_kubectl_explain(file: Path) -> None:
    schema = libyaml.load(file.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in ("spec", "status"):
        fields = dict(described(schema["properties"][part], part))
        assert {path: words for path, words in fields.items() if len(words) < 10} == {}


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.stem)
def test_the_tables_of_fields_are_up_to_date(page: Path) -> None:
    current = page.read_text()
    assert reference.filled(current, libyaml.load(reference.PAGES[page].read_text())) == current


def schema_of(plural: str, path: str) -> dict[str, Any]:
    crd = definition(plural)
    node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return reference.find(node, path)


@pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind, (_, _, spec, _) in RESOURCES.items() for path in fields(spec)]
)
def test_each_spec_field_has_its_row_with_values_and_bounds(kind: str, path: str) -> None:
    page, plural, _, _ = RESOURCES[kind]
    row = re.search(rf"^\| \[?`{re.escape(path)}`.*$", section(page, "Writing a spec"), re.MULTILINE)
    assert row, f"no row tells of {path}"
    schema = schema_of(plural, path)
    for value in schema.get("enum", []):
        assert f"`{value}`" in row[0]
    for bound in ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern"):
        assert str(schema.get(bound, "")) in row[0]
    if (default := schema.get("default")) is not None:
        shown = default if isinstance(default, str) else json.dumps(default)
        assert f"| `{shown}` |" in row[0]


@pytest.mark.parametrize("kind", RESOURCES)
def test_each_status_field_is_in_a_table(kind: str) -> None:
    page, _, _, status = RESOURCES[kind]
    told = section(page, "Reading the status")
    described = first_cells(told.partition("### Conditions")[0])
    in_detail = "conditions[]."  # metav1.Condition's
    wanted = {path for path in fields(status) if not path.startswith(in_detail)}
    assert {path for path in described if not path.startswith(in_detail)} == wanted


def test_each_phase_is_explained() -> None:
    described = section(API, "Phases")
    assert [phase for phase in Phase if f"`{phase}`" not in described] == []


def test_the_state_diagram_has_exactly_the_transitions_of_the_core() -> None:
    assert drawn_transitions(section(API, "Phases")) == {
        (str(before or "[*]"), str(after)) for before, phases in TRANSITIONS.items() for after in phases
    }


def test_the_table_of_phases_names_the_phases_that_may_follow() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*?) ?\|$", section(API, "Phases"), re.MULTILINE))
    told = {phase: {word for word in re.findall(r"\w+", text) if word in set(Phase)} for phase, text in rows.items()}
    follows = {str(before): {str(phase) for phase in phases} for before, phases in TRANSITIONS.items() if before}
    assert told == follows


def drawn_transitions(text: str) -> set[tuple[str, str]]:
    """Return the arrows of the mermaid state diagram in a text, each as the names of two states. An
    arrow from or to a box of states stands for one arrow from or to each state in the box.
    """
    diagram = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", text, re.DOTALL)
    assert diagram, "there is no state diagram"
    boxes: dict[str, set[str]] = {}
    for box, inside in re.findall(r"state (\w+) \{(.*?)\}", diagram[1], re.DOTALL):
        boxes[box] = {word for word in re.findall(r"\w+", re.sub(r":.*", "", inside)) if word in set(Phase)}
    arrows = re.findall(r"^ *(\S+) --> (\w+)", diagram[1], re.MULTILINE)
    return {
        (start, end)
        for source, target in arrows
        for start in boxes.get(source, {source})
        for end in boxes.get(target, {target})
    }


def test_each_reason_is_explained_and_no_other() -> None:
    of_mljob_api = {error.reason for error in tree(KafkaUnavailable)}
    errors = {error.reason for error in tree(OperatorError)} - of_mljob_api
    summaries = words_passed_to("StatusSummary", 1, *SUMMARIES) | set(CancelReason) | set(Halt)
    summaries |= words_passed_to("Blocker", 0, mljob_operator.core.airflow_instance.catalog)
    summaries |= {WAITING, FAILED, RUNS_VANISHED}
    told = section(API, "Reasons")
    assert {reason for reason in errors | summaries if f"`{reason}`" not in told} == set()
    assert first_cells(told) <= errors | summaries


def test_each_event_reason_is_explained_and_no_other() -> None:
    events = mljob_operator.core.status.events
    recorded = words_passed_to("KubeEvent", 1, events, mljob_operator.controllers.mljob.status_writer)
    assert recorded | set(events.FAILURES) == first_cells(section(API, "Events"))


def test_each_condition_is_explained_and_no_other() -> None:
    told = section(API, "Conditions")
    conditions = mljob_operator.core.status.mljob_conditions
    assert words_passed_to("DesiredCondition", 0, conditions) == first_cells(told)
    reasons = words_passed_to("DesiredCondition", 2, conditions)
    assert {reason for reason in reasons if f"`{reason}`" not in told} == set()


def test_each_condition_and_reason_of_an_instance_is_explained_and_no_other() -> None:
    module = mljob_operator.core.status.airflow_instance
    controllers = mljob_operator.controllers.airflow_instance
    told = section(INSTANCES, "Conditions")
    types = words_passed_to("DesiredCondition", 0, module)
    reasons = words_passed_to("DesiredCondition", 2, module)
    reasons |= words_passed_to("Readiness", 1, controllers.controller, controllers.registry)
    reasons |= {reason for _, reason in controllers.logins.REASONS} | {AirflowError.reason}
    assert types | reasons == first_cells(told)


@pytest.mark.parametrize("kind", RESOURCES)
def test_the_printer_columns_are_named_in_their_order(kind: str) -> None:
    page, plural, _, _ = RESOURCES[kind]
    columns = definition(plural)["spec"]["versions"][0]["additionalPrinterColumns"]
    narrow, wide = ([column["name"] for column in columns if column["priority"] == priority] for priority in (0, 1))
    sentence = f"prints the columns {in_words(narrow)}; `-o wide` adds {in_words(wide)}."
    assert sentence in " ".join(page.split())


def test_each_setting_is_explained_with_its_default() -> None:
    rows = dict(
        re.findall(r"^\| `(MLJOB_[A-Z0-9_]+)` \| (.*?) \|", (OPERATIONS / "settings.md").read_text(), re.MULTILINE)
    )
    assert set(rows) == {f"MLJOB_{name.upper()}" for name in ApiSettings.model_fields}
    assert Settings.model_fields.keys() <= ApiSettings.model_fields.keys()
    for name, field in ApiSettings.model_fields.items():
        told = rows[f"MLJOB_{name.upper()}"]
        if field.is_required():
            assert told == "required"
        elif field.default not in (None, ()):
            assert told == f"`{field.default:g}`" if isinstance(field.default, float) else f"`{field.default}`"


def test_each_metric_is_explained_with_its_type() -> None:
    rows = dict(
        re.findall(
            r"^\| `(mljob_\w+)` \| (\w+) \|", section((OPERATIONS / "alerts.md").read_text(), "Metrics"), re.MULTILINE
        )
    )
    exposed = {
        metric.name + ("_total" if metric.type == "counter" else ""): metric.type
        for metric in Metrics().registry.collect()
    }
    assert rows == exposed


def test_each_metric_of_mljob_api_is_explained_with_its_type() -> None:
    told = section((OPERATIONS / "mljob-api.md").read_text(), "Metrics")
    rows = dict(re.findall(r"^\| `(mljob_\w+)` \| (\w+) \|", told, re.MULTILINE))
    exposed = {
        metric.name + ("_total" if metric.type == "counter" else ""): metric.type
        for metric in ApiMetrics().registry.collect()
    }
    assert rows == exposed


@pages_and_github
def test_targets_of_links_exist(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text())):
        path, _, anchor = target.partition("#")
        link_changed = (page.parent / path).resolve() if path else page
        if not link_changed.exists() or (anchor and anchor not in anchors(link_changed)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {reference.anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_names_beside_links_to_modules_exist() -> None:
    pairs = re.findall(r"\]\((\.\./\S+\.py)\): `(\w+)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(pairs) > 10
    for module, name in pairs:
        assert re.search(rf"\b(def|class) {name}\b", (ROOT / "docs" / module).read_text()), (module, name)


@pages_and_github
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^\$ |\brun: )make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("text", GITHUB, ids=name_of)
def test_files_that_github_texts_name_exist(text: Path) -> None:
    folders = r"\.ci|\.github|charts|contract|crds|devstack|docs|requirements|tests"
    # The workflow of releases also has a folder release/ for files that one job hands to another.
    paths = rf"[A-Z]+\.md|release/\w+\.py|(?:{folders})/[\w./*-]*"
    named = re.findall(rf"(?<![\w$-])(?:\./)?({paths})", text.read_text())
    assert [path for path in named if not any(ROOT.glob(path.rstrip("./")))] == []


def test_headings_that_github_texts_name_exist() -> None:
    named = [pair for text in GITHUB for pair in re.findall(r'"([^"\n]+)" in ([\w./-]+\.md)', text.read_text())]
    assert ("Troubleshooting", "docs/operations/troubleshooting.md") in named
    for heading, page in named:
        assert section((ROOT / page).read_text(), heading)


@pages_and_github
def test_folders_in_backticks_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:operator|contract|charts|crds|devstack|examples|docs|tests|requirements)/[\w./-]*)`", page.read_text()
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_contributing_names_the_bounds_of_the_linter() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    complexity, arguments = lint["mccabe"]["max-complexity"], lint["pylint"]["max-args"]
    told = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    assert f"complexity above {complexity} or with more than {arguments} arguments" in told


def test_the_site_has_every_page_in_its_navigation() -> None:
    site = tomllib.loads((ROOT / "docs" / "zensical.toml").read_text())["project"]
    listed = list(pages_in(site["nav"]))
    # The navigation has the list of decisions (ADRs), which links to each of them.
    expected = {str(page.relative_to(ROOT)) for page in PAGES if not re.match(r"\d", page.name)}
    assert set(listed) == expected
    assert len(listed) == len(set(listed))


def pages_in(navigation: list[dict[str, Any]]) -> Iterator[str]:
    for entry in navigation:
        for target in entry.values():
            yield from [target] if isinstance(target, str) else pages_in(target)


def test_the_site_keeps_links_between_pages_and_drops_links_to_other_files() -> None:
    page = ROOT / "docs" / "README.md"
    text = "[a](compatibility.md#x), [b](../Makefile), [`c`](../examples), [d](nowhere.md) and `[e](../Makefile)`"
    assert on_site(text, page) == "[a](compatibility.md#x), b, `c`, [d](nowhere.md) and `[e](../Makefile)`"


def test_the_site_keeps_pictures() -> None:
    page = ROOT / "docs" / "guides" / "view.md"
    text = "![A list](../pictures/view-list-light.png)"
    assert on_site(text, page) == text
    shown = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    }
    assert shown <= set(PICTURES)


def test_the_site_has_no_comments_of_the_pages() -> None:
    page = ROOT / "docs" / "README.md"
    text = "- a\n\n    <!-- not run: b -->\n\n    ```console\n    $ c <!-- d -->\n    ```\n\n`<!-- e -->`\n"
    assert on_site(text, page) == "- a\n\n    ```console\n    $ c <!-- d -->\n    ```\n\n`<!-- e -->`\n"


def test_the_page_lists_the_stages_with_their_policies() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shared = re.search(r"\*\*After an attempt\*\* stands for (.*?)\.\n", text, re.DOTALL)
    assert shared is not None
    rows = re.findall(r"^\| (\w+) \| [^|]+ \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    told = {
        stage: [*names(shared[1] if "After an attempt" in policies else ""), *names(policies)]
        for stage, policies in rows
        if stage in set(Stage)
    }
    assert told == {str(stage): [policy.__name__ for policy in POLICIES[stage]] for stage in Stage}


def names(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


@pages
def test_metrics_in_backticks_exist(page: Path) -> None:
    exposed = {metric.name for registry in (Metrics().registry, ApiMetrics().registry) for metric in registry.collect()}
    state_metrics = libyaml.load(
        (ROOT / "charts" / "mljob-operator" / "files" / "monitoring" / "kube-state-metrics.yaml").read_text()
    )
    for resource in state_metrics["spec"]["resources"]:
        exposed |= {f"{resource['metricNamePrefix']}_{metric['name']}" for metric in resource["metrics"]}
    named = set(
        re.findall(r"`((?:kube_)?mljob_\w+(?:_seconds|_total|_lag|_ready|_live|_info|_phase))\b", page.read_text())
    )
    assert {name for name in named if name.removesuffix("_total") not in exposed} == set()
