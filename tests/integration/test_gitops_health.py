"""The health that the GitOps tools kstatus, Flux and Argo CD derive from an MLJob in every phase.
The Go program in ``tests/gitops`` computes the health.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack import golang
from devstack.caches import cache_directory, once
from devstack.golang import Program
from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.unit.operator.conftest import KEY, World
from tests.unit.operator.runs import begin, edit, end

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "gitops"
MODULE = ROOT / "tests" / "gitops"
PROGRAM = "gitops-health"

Verdicts = dict[str, dict[str, dict[str, str]]]

# The first test builds the program, which may take minutes. The timeout applies only to the tests
# themselves.
pytestmark = pytest.mark.timeout(60, func_only=True)


async def just_created(world: World) -> None:
    world.jobs.create(KEY[1], {"dagId": "train"})


async def waits_for_airflow(world: World) -> None:
    world.airflow.down = True
    await world.apply()


async def waits_for_its_dag(world: World) -> None:
    await world.apply(dagId="unknown")


async def refused(world: World) -> None:
    world.airflow.required["train"] = ("epochs",)
    await world.apply()


async def refused_and_corrected(world: World) -> None:
    await refused(world)
    world.jobs.edit(KEY, {"conf": {"epochs": 3}})


async def queued(world: World) -> None:
    await world.apply()


async def running(world: World) -> None:
    await world.apply()
    await begin(world)


async def waits_for_its_retry(world: World) -> None:
    await world.apply(backoffLimit=1)
    await end(world, RunState.FAILED)


async def cancelling(world: World) -> None:
    await running(world)
    await edit(world, cancel=True)


async def cancelled(world: World) -> None:
    await cancelling(world)
    await end(world, RunState.FAILED)


async def suspending(world: World) -> None:
    await running(world)
    await edit(world, suspend=True)


async def suspended(world: World) -> None:
    await world.apply(suspend=True)


async def resumed(world: World) -> None:
    await suspended(world)
    await edit(world, suspend=False)


async def succeeded(world: World) -> None:
    await world.apply()
    await end(world, RunState.SUCCESS)


async def failed(world: World) -> None:
    await world.apply()
    await end(world, RunState.FAILED)


async def deadline_exceeded(world: World) -> None:
    await world.apply(activeDeadlineSeconds=10, cancellation={"strategy": "Api"})
    await begin(world)
    await world.later(11)


async def edited_after_success(world: World) -> None:
    await world.apply(runPolicy="OnChange")
    await end(world, RunState.SUCCESS)
    world.jobs.edit(KEY, {"conf": {"epochs": 2}})


async def edited_after_failure(world: World) -> None:
    await world.apply(runPolicy="OnChange")
    await end(world, RunState.FAILED)
    world.jobs.edit(KEY, {"conf": {"epochs": 2}})


async def runs_again_after_failure(world: World) -> None:
    await edited_after_failure(world)
    await world.see_all()


async def edit_refused(world: World) -> None:
    await succeeded(world)
    await edit(world, conf={"epochs": 2})


async def edit_refused_in_mid_run(world: World) -> None:
    await running(world)
    await edit(world, conf={"epochs": 2})


async def edit_refused_and_taken_back(world: World) -> None:
    await edit_refused(world)
    await edit(world, conf={})


async def created_again(world: World) -> None:
    await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
    # Airflow must say twice that it has no such run.
    await world.later(3)
    await end(world, RunState.SUCCESS)
    await world.later(61)
    assert not world.exists
    await world.apply(runPolicy="OncePerSpec", ttlSecondsAfterFinished=60)
    await world.later(3)


async def deleting(world: World) -> None:
    await running(world)
    await world.delete()


async def deleting_though_finished(world: World) -> None:
    await succeeded(world)
    world.jobs.objects[KEY]["metadata"]["finalizers"] = ["example.com/somebody-elses"]
    await world.delete()


Scenario = Callable[[World], Awaitable[None]]
TOOLS = ("kstatus", "flux", "argocd")
WAIT = ("InProgress", "InProgress", "Progressing")
GOOD = ("Current", "Current", "Healthy")
HELD = ("Current", "Current", "Suspended")
BAD = ("Failed", "Failed", "Degraded")
GOING = ("Terminating", "InProgress", "Progressing")

TABLE: dict[Scenario, tuple[Phase | None, tuple[str, str, str]]] = {
    just_created: (None, WAIT),
    waits_for_airflow: (Phase.PENDING, WAIT),
    waits_for_its_dag: (Phase.PENDING, WAIT),
    waits_for_its_retry: (Phase.PENDING, WAIT),
    refused: (Phase.PENDING, BAD),
    refused_and_corrected: (Phase.PENDING, WAIT),
    queued: (Phase.QUEUED, WAIT),
    running: (Phase.RUNNING, WAIT),
    cancelling: (Phase.CANCELLING, WAIT),
    suspending: (Phase.CANCELLING, WAIT),
    # A client that waits for results must not continue without them, also if a user cancelled the
    # run.
    cancelled: (Phase.CANCELLED, BAD),
    suspended: (Phase.SUSPENDED, HELD),
    resumed: (Phase.QUEUED, WAIT),
    succeeded: (Phase.SUCCEEDED, GOOD),
    created_again: (Phase.SUCCEEDED, GOOD),
    failed: (Phase.FAILED, BAD),
    deadline_exceeded: (Phase.FAILED, BAD),
    edited_after_success: (Phase.SUCCEEDED, WAIT),
    edited_after_failure: (Phase.FAILED, WAIT),
    runs_again_after_failure: (Phase.QUEUED, WAIT),
    # The spec from Git was applied, but the run used an earlier spec.
    edit_refused: (Phase.SUCCEEDED, BAD),
    edit_refused_in_mid_run: (Phase.RUNNING, WAIT),
    edit_refused_and_taken_back: (Phase.SUCCEEDED, GOOD),
    deleting: (Phase.CANCELLING, GOING),
    deleting_though_finished: (Phase.SUCCEEDED, GOING),
}

scenarios = pytest.mark.parametrize("scenario", TABLE, ids=lambda scenario: scenario.__name__.replace("_", "-"))


@pytest.fixture(scope="session")
def program() -> Path:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((MODULE / name).read_bytes())

    def make(target: Path) -> None:
        target.mkdir()
        golang.build(PROGRAM, Program(str(MODULE), "."), target / PROGRAM)

    directory = cache_directory() / "bin" / f"{PROGRAM}-{digest.hexdigest()[:12]}"
    built = not directory.exists()
    directory.parent.mkdir(parents=True, exist_ok=True)
    once(directory, f"building {PROGRAM}", make)
    if built:
        golang.forget_sources()
    return directory / PROGRAM


@pytest.fixture
def judge(program: Path, tmp_path: Path) -> Callable[..., Verdicts]:
    """A function that returns the health of objects. For example,
    ``judge(job=job)["job"]["flux"]["status"]`` is the status that Flux derives from ``job``.
    """

    def ask(**objects: Any) -> Verdicts:
        for name, found in objects.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(found))
        arguments = [program, tmp_path, EXAMPLES / "argocd" / "health.lua", EXAMPLES / "flux" / "train.yaml"]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        verdicts: Verdicts = json.loads(done.stdout)
        return verdicts

    return ask


async def job_after(scenario: Scenario) -> dict[str, Any]:
    """Run ``scenario`` in a new :class:`World`, and return the resulting MLJob."""
    world = World()
    try:
        await scenario(world)
        return deepcopy(world.jobs.objects[KEY])
    finally:
        await world.job_controller.close()


@scenarios
async def test_each_tool_reports_the_health_of_each_phase(scenario: Scenario, judge: Callable[..., Verdicts]) -> None:
    job = await job_after(scenario)
    phase, expected = TABLE[scenario]

    found = judge(job=job)["job"]

    assert job.get("status", {}).get("phase") == phase
    assert tuple(found[tool]["status"] for tool in TOOLS) == expected, found


def test_scenarios_cover_every_phase() -> None:
    assert {phase for phase, _ in TABLE.values()} == {None, *Phase}


async def test_argo_cd_shows_the_message_of_the_status(judge: Callable[..., Verdicts]) -> None:
    jobs = {scenario.__name__: await job_after(scenario) for scenario in (running, failed, refused, edit_refused)}

    found = judge(**jobs)

    for name in ("running", "failed", "refused"):
        assert found[name]["argocd"]["message"] == jobs[name]["status"]["message"]
    assert "runPolicy is Once" in found["edit_refused"]["argocd"]["message"]


async def test_argo_cd_hook_that_is_deleted_after_success_counts_as_succeeded(judge: Callable[..., Verdicts]) -> None:
    job = await job_after(deleting_though_finished)
    job["metadata"]["generation"] = job["status"]["observedGeneration"] + 1
    job["metadata"]["finalizers"] = ["argocd.argoproj.io/hook-finalizer"]

    assert judge(job=job)["job"]["argocd"]["status"] == "Healthy"


def test_config_map_contains_the_lua_file() -> None:
    config_map = yaml.safe_load((EXAMPLES / "argocd" / "argocd-cm.yaml").read_text())

    lua = config_map["data"]["resource.customizations.health.mljob.dev_MLJob"]
    assert lua == (EXAMPLES / "argocd" / "health.lua").read_text()


def test_every_kustomization_has_the_same_health_checks() -> None:
    files = [yaml.safe_load(file.read_text()) for file in (EXAMPLES / "flux").glob("*.yaml")]

    assert len(files) == 2
    assert len({json.dumps(file["spec"]["healthCheckExprs"]) for file in files}) == 1
    assert all((EXAMPLES / file["spec"]["path"]).is_dir() for file in files)
