"""The fields, files and settings in the documentation's code blocks exist."""

from __future__ import annotations

import ast
import configparser
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import typer
from pydantic import BaseModel
from typer.exceptions import TyperException
from typer.main import get_command

from mljob.cli.app import application
from mljob_contract import airflow_instance, mljob
from mljob_contract.run_api import RunSubresource, run_path
from mljob_operator.api.settings import ApiSettings
from tests import libyaml
from tests.page_runners import Runner, lines_of, runner_of
from tests.pages import PAGES, ROOT, Block, blocks, commands, typed

CHART = ROOT / "charts" / "mljob-operator"
VALUES: dict[str, Any] = libyaml.load((CHART / "values.yaml").read_text())
DEFINITIONS: dict[str, dict[str, Any]] = {
    definition["spec"]["names"]["kind"]: definition
    for definition in (libyaml.load(file.read_text()) for file in (ROOT / "crds").glob("*.yaml"))
}
MODELS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    mljob.KIND: (mljob.MLJobSpec, mljob.MLJobStatus),
    airflow_instance.KIND: (airflow_instance.AirflowInstanceSpec, airflow_instance.AirflowInstanceStatus),
}
MAKEFILE = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

CHECKED = {"console", "sh", "yaml", "json", "python", "ini"}
WITHOUT_MEANING = {"text", "mermaid"}
"""Languages of blocks that readers don't type: output of programs, and diagrams. Another test
compares the diagram of phases with the code.
"""

OTHER_PROGRAMS = {
    ".",
    "alias",
    "acls",
    "cosign",
    "curl",
    "cut",
    "docker",
    "done",
    "for",
    "gh",
    "grep",
    "jq",
    "oc",
    "printf",
    "sha256sum",
}
"""Programs whose commands are checked for the syntax of the shell only."""

KUBERNETES = {"apiservice", "configmap", "crd", "deployment", "events", "lease", "namespace", "pod", "secret"}
"""Kubernetes' own resources in the pages' commands."""
OTHER_CONDITIONS = {"Available", "delete"}
"""What commands on the pages wait for with resources in ``KUBERNETES``: conditions, and the deletion."""
RUN_PARAMETERS = {"after", "attempt", "follow", "mapIndex", "positions", "tail", "task", "try"}
"""The query parameters that requests to mljob-api (``run.mljob.dev``) may have."""
EVENT_FIELDS = {"reason", "type", "involvedObject.kind"}
"""Fields by which commands on the pages may select Kubernetes Events."""

NO_VALUES = {"airflow.events", "airflow.cfg", "dashboard.json", "operator.txt"}
"""A topic and files whose names look like values of the chart."""
MODULES = ("airflow.sdk.", "airflow.dag_processing.")
"""Prefixes of Python modules whose names look like values of the chart."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def schema_of(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def kind_of(resource: str) -> str | None:
    for kind, definition in DEFINITIONS.items():
        names = definition["spec"]["names"]
        if resource in (names["plural"], names["singular"], *names["shortNames"], *names["categories"]):
            return kind
    return None


@pages
def test_every_block_is_checked_or_says_why_not(page: Path) -> None:
    unknown = {block.where: block.language for block in blocks(page) if not block.why_unchecked}
    assert {where: word for where, word in unknown.items() if word not in CHECKED | WITHOUT_MEANING} == {}


# -- YAML ------------------------------------------------------------------------------------------


@pages
def test_yaml_is_valid_for_its_kind(page: Path) -> None:
    for block in blocks(page, "yaml"):
        for document in libyaml.load_all(block.text):
            checker = yaml_checker(document)
            assert checker is not None, f"{block.where}: nothing checks this; say why in a comment above it"
            checker(document, block)


def yaml_checker(document: dict[str, Any]) -> Any:
    kind = document.get("kind", mljob.KIND if document.keys() <= {"spec", "status"} else None)
    if kind in MODELS:
        return lambda document, block: assert_fits_the_api(kind, document, block)
    if document.keys() <= VALUES.keys():
        return assert_fits_the_chart
    return None


def assert_fits_the_api(kind: str, document: dict[str, Any], block: Block) -> None:
    properties = schema_of(kind)["properties"]
    for part, model in zip(("spec", "status"), MODELS[kind], strict=True):
        if part in document:
            assert unknown_fields(document[part], properties[part], part) == [], block.where
            model.model_validate(document[part])


def unknown_fields(value: Any, schema: dict[str, Any], path: str) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in unknown_fields(item, schema.get("items", {}), f"{path}[]")]
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return []
    unknown = [f"{path}.{name}" for name in value if name not in known]
    return unknown + [
        found for name in value if name in known for found in unknown_fields(value[name], known[name], f"{path}.{name}")
    ]


def assert_fits_the_chart(document: dict[str, Any], block: Block) -> None:
    for path in leaves(document):
        assert has_value(path), f"{block.where}: the chart has no value {path}"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def has_value(path: str) -> bool:
    node: Any = VALUES
    for part in path.split("."):
        # An empty map and null may contain anything.
        if node is None or node == {}:
            return True
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


# -- Other languages -------------------------------------------------------------------------------


@pages
def test_json_and_ini_can_be_read(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block.text)
    for block in blocks(page, "ini"):
        configparser.ConfigParser().read_string(block.text)


@pages
def test_python_compiles_and_imports_existing_names_of_the_provider(page: Path) -> None:
    package = ROOT / "airflow-provider" / "src" / "mljob_airflow"
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "mljob_airflow":
                file = package.joinpath(*str(node.module).split(".")[1:])
                source = (file / "__init__.py" if file.is_dir() else file.with_suffix(".py")).read_text()
                missing = [name.name for name in node.names if not re.search(rf"\b{name.name}\b", source)]
                assert missing == [], f"{block.where}: {node.module} has no {missing}"


@pages
def test_a_shell_can_parse_the_commands(page: Path) -> None:
    texts = [line for block in blocks(page, "console") for line in typed(block)]
    texts += [block.text for block in blocks(page, "sh")]
    # A placeholder such as <name> would be a redirection.
    text = re.sub(r"<[a-z -]+>", "placeholder", "\n".join(texts))
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- Commands --------------------------------------------------------------------------------------


@pages
def test_resources_fields_and_files_in_commands_exist(page: Path) -> None:
    wrong = {}
    for block in blocks(page, "console"):
        for words in commands(block):
            if found := list(problems(words)):
                wrong[f"{block.where}: {' '.join(words)}"] = found
    assert wrong == {}


@pages
def test_every_console_block_has_a_prompt(page: Path) -> None:
    assert [block.where for block in blocks(page, "console") if not list(commands(block))] == []


@pages
def test_each_command_is_run_or_its_block_says_why_not(page: Path) -> None:
    for block in blocks(page):
        if block.language == "console":
            not_run = [line for line in typed(block) if runner_of(page, block, line) is None]
            if block.why_unchecked or block.why_not_run:
                assert not_run, f"{block.where}: every command is run; remove the comment"
            assert not_run == [] or block.why_unchecked or block.why_not_run, (
                f"{block.where}: no test runs {not_run}; give it a runner in tests/page_runners.py,"
                " or say why in a comment above the block: <!-- not run: ... -->"
            )
        else:
            assert not block.why_not_run, f"{block.where}: only console blocks are run"


@pages
def test_each_comment_about_a_block_is_above_one(page: Path) -> None:
    written = re.findall(r"^ *<!-- not (?:checked|run): .*$", page.read_text(), re.MULTILINE)
    assert len(written) == len([block for block in blocks(page) if block.why_unchecked or block.why_not_run])


def test_runners_exist() -> None:
    assert [runner for runner in Runner if not (ROOT / runner).exists()] == []


@pytest.mark.parametrize(
    ("block", "line"), [pytest.param(block, line, id=block.where) for _, block, line in lines_of(Runner.LOCAL)]
)
def test_a_command_that_needs_nothing_prints_what_the_page_shows(block: Block, line: str) -> None:
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout
    if [line] == typed(block) and (shown := block.text.partition(f"{line}\n")[2]):
        assert done.stdout == shown


def problems(words: Sequence[str]) -> Iterator[str]:
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program, *arguments = words
    checks = {"pip": of_pip, "make": of_make, "kubectl": of_kubectl, "helm": of_helm, "mljob-airflow": of_mljob_airflow}
    if program in checks:
        yield from checks[program](arguments)
    elif program.endswith("/bin/python"):
        yield from of_python(arguments)
    elif program not in OTHER_PROGRAMS:
        yield f"nothing checks {program}"


def options(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each command-line option. The value is the text after ``=``.
    If an option has no ``=``, its value is the next argument, even if the option takes no value. If
    such an option is the last argument, its value is an empty string.
    """
    for option, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if option.startswith("-"):
            name, separator, value = option.partition("=")
            yield name, value if separator else following


def missing_files(arguments: Sequence[str], *names: str) -> Iterator[str]:
    for name, value in options(arguments):
        if name in names and value != "-" and not (ROOT / value).exists():
            yield f"there is no file {value}"


def of_make(arguments: Sequence[str]) -> Iterator[str]:
    yield from (f"no target {word}" for word in arguments if "=" not in word and word not in MAKEFILE)


def of_pip(arguments: Sequence[str]) -> Iterator[str]:
    for word in arguments:
        folder = word.partition("[")[0]
        if folder.startswith("./") and not (ROOT / folder / "pyproject.toml").exists():
            yield f"there is no package {folder}"


def of_kubectl(arguments: Sequence[str]) -> Iterator[str]:
    verb, *rest = arguments
    if verb == "mljob":
        yield from of_kubectl_mljob(rest)
        return
    if verb == "get" and (path := dict(options(rest)).get("--raw")):
        yield from of_raw_path(path)
        return
    yield from missing_files(rest, "-f", "--filename", "--patch-file")
    kinds: set[str] = set()
    if verb in ("annotate", "delete", "describe", "explain", "get", "label", "patch", "wait"):
        target = next((word for word in rest if is_resource(word)), None)
        if target is None and {"-f", "--filename"}.isdisjoint(rest):
            yield f"unknown resource in {rest}"
        if target and (kind := kind_of(resource_of(target))):
            kinds = {kind}
            yield from unknown_paths(f" .{target.partition('.')[2]} {' '.join(rest)}", kinds)
    if verb in ("exec", "logs", "port-forward"):
        yield from (
            f"kubectl takes any Pod of {word}, which may stand by: name the leader, or select all Pods"
            for word in rest
            if word.startswith("deployment/")
        )
    for name, value in options(rest):
        yield from of_kubectl_option(name, value, kinds)


def of_kubectl_mljob(arguments: Sequence[str]) -> Iterator[str]:
    command: Any = get_command(application())
    if arguments[0] in command.commands:
        command, arguments = command.commands[arguments[0]], arguments[1:]
        yield from missing_files(arguments, "--conf") if arguments else ()
        if command.name == "lint":
            yield from (
                f"there is no file {word}" for word in arguments if word[0] != "-" and not (ROOT / word).exists()
            )
    try:
        with redirect_stdout(StringIO()):
            command.make_context("kubectl mljob", list(arguments))
    except TyperException as error:
        yield str(error)
    except typer.Exit:
        return  # --version and --help end at once


def of_raw_path(path: str) -> Iterator[str]:
    address = urlsplit(path)
    paths = {
        run_path("default", "digits-train", subresource, watch=watch)
        for subresource in RunSubresource
        for watch in (False, subresource is RunSubresource.EVENTS)
    }
    if address.path not in paths:
        yield f"mljob-api does not serve {address.path}"
    yield from (f"no parameter {name}" for name in parse_qs(address.query).keys() - RUN_PARAMETERS)


def resource_of(word: str) -> str:
    return re.split(r"[/.]", word)[0]


def is_resource(word: str) -> bool:
    return resource_of(word) in KUBERNETES or kind_of(resource_of(word)) is not None


def unknown_paths(text: str, kinds: set[str]) -> Iterator[str]:
    for part, name in re.findall(r"\.(spec|status)\.([A-Za-z]+)", text):
        if not any(name in schema_of(kind)["properties"][part]["properties"] for kind in kinds):
            yield f"no field {part}.{name}"


def of_kubectl_option(name: str, value: str, kinds: set[str]) -> Iterator[str]:
    if name == "--for":
        condition = value.removeprefix("condition=").partition("=")[0]
        if condition not in (conditions(kinds) or OTHER_CONDITIONS):
            yield f"no condition {condition}"
    elif name == "--field-selector":
        fields = {pair.partition("=")[0] for pair in value.split(",")}
        yield from (f"no field {field} to select by" for field in fields - selectable(kinds))
    elif name in ("-p", "--patch"):
        patch = json.loads(value)
        if isinstance(patch, dict):
            for kind in kinds:
                yield from unknown_fields(patch, schema_of(kind), "")
    elif name in ("-o", "--output") and value.startswith("custom-columns-file="):
        yield from missing_files([f"--file={value.partition('=')[2]}"], "--file")


def selectable(kinds: set[str]) -> set[str]:
    if not kinds:
        return EVENT_FIELDS
    return {
        field["jsonPath"].removeprefix(".")
        for kind in kinds
        for field in DEFINITIONS[kind]["spec"]["versions"][0]["selectableFields"]
    }


def conditions(kinds: set[str]) -> set[str]:
    found = set()
    for kind in kinds:
        text = (ROOT / "docs" / "spec" / f"{kind.lower()}.md").read_text()
        found |= set(re.findall(r"^\| `(\w+)` \|", text.partition("Conditions\n")[2], re.MULTILINE))
    return found


def of_helm(arguments: Sequence[str]) -> Iterator[str]:
    yield from missing_files(arguments, "-f", "--values")
    yield from (
        f"there is no chart {word}" for word in arguments if word.startswith("charts/") and not (ROOT / word).exists()
    )
    for name, value in options(arguments):
        path = value.partition("=")[0]
        if name == "--set" and not has_value(path):
            yield f"the chart has no value {path}"
        if name == "--reuse-values":
            yield f"{name} fails with a chart that has further values: use --reset-then-reuse-values"


def of_mljob_airflow(arguments: Sequence[str]) -> Iterator[str]:
    # dags/ and ~/dags stand for the reader's own folder.
    folders = {value for name, value in options(arguments) if name == "--dags"} - {"dags/", "~/dags"}
    yield from (f"there is no folder {folder}" for folder in folders if not (ROOT / folder).exists())


def of_python(arguments: Sequence[str]) -> Iterator[str]:
    if arguments[:2] == ["-m", "pytest"]:
        paths = [word for word in arguments if re.match(r"(tests|operator)/", word)]
        yield from (f"there is no {path}" for path in paths if not (ROOT / path).exists())


# -- Words in the text -----------------------------------------------------------------------------


@pages
def test_settings_exist(page: Path) -> None:
    settings = {f"MLJOB_{name.upper()}" for name in ApiSettings.model_fields}
    named = set(re.findall(r"\bMLJOB_[A-Z0-9_]+\b", page.read_text())) - settings
    sources = [
        *(ROOT / "devstack").glob("*.py"),
        *(ROOT / "airflow-provider").rglob("*.py"),
        ROOT / "tests" / "suite.py",
    ]
    text = "\n".join(source.read_text() for source in sources) if named else ""
    assert {name for name in named if name not in text} == set()


@pages
def test_values_of_the_chart_exist(page: Path) -> None:
    fields = {
        path
        for kind in DEFINITIONS
        for part in ("spec", "status")
        for path in paths(schema_of(kind)["properties"][part])
    }
    named = set(re.findall(rf"`((?:{'|'.join(VALUES)})\.[\w.]+)(?:: [^`]*)?`", page.read_text()))
    named = {path for path in named - NO_VALUES - fields if not path.startswith(MODULES)}
    assert {path for path in named if not has_value(path)} == set()


def paths(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(field.get("items", field), f"{prefix}{name}.")
