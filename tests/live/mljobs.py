from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mljob_contract.mljob import KIND, PLURAL
from mljob_contract.resource import API_VERSION
from tests.live.eventually import eventually
from tests.live.kubectl import Kubectl

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
Object = dict[str, Any]


def manifest(name: str, dag_id: str, conf: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"dagId": dag_id, "conf": dict(conf or {}), **spec},
    }


class MLJobs:
    """Creates, reads and awaits the MLJobs of one namespace.

    Args:
        kubectl: Runs kubectl in the namespace.
        operator_log: Returns the last lines of the operator's log, for errors.
    """

    def __init__(self, kubectl: Kubectl, operator_log: Callable[[], str]) -> None:
        self.kubectl = kubectl
        self._operator_log = operator_log

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    @property
    def path(self) -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}"

    def apply(self, *objects: Object) -> None:
        self.kubectl.apply(*objects)

    def submit(self, name: str, dag_id: str, conf: Mapping[str, Any] | None = None, **spec: Any) -> None:
        self.apply(manifest(name, dag_id, conf, **spec))

    def get(self, name: str) -> Object:
        return self.kubectl.api.get(f"{self.path}/{name}")

    def status(self, name: str) -> Object:
        status: Object = self.get(name).get("status") or {}
        return status

    def all(self) -> dict[str, Object]:
        return {item["metadata"]["name"]: item for item in self.kubectl.api.get(self.path)["items"]}

    def exists(self, name: str) -> bool:
        return name in self.all()

    def watch(self, *names: str) -> Any:
        return self.kubectl.watch("mljobs", *names)

    def events(self, name: str) -> list[Object]:
        found = self.kubectl.api.get(
            f"/api/v1/namespaces/{self.namespace}/events",
            fieldSelector=f"involvedObject.name={name},involvedObject.kind={KIND}",
        )
        return sorted(found["items"], key=lambda event: event["metadata"]["creationTimestamp"])

    def until_told(self, name: str, *reasons: str) -> list[str]:
        """Wait until an MLJob has Events with these reasons. Return the reasons of all Events about
        the MLJob.

        The operator writes the status first, so an Event may appear later than the status.
        """

        def told() -> list[str]:
            found = [event["reason"] for event in self.events(name)]
            assert Counter(reasons) <= Counter(found), found
            return found

        return eventually(told, f"Events of MLJob {name}: {', '.join(reasons)}")

    def until(self, name: str, condition: Callable[[Object], object], what: str, *, within: float = 180) -> Object:
        """Wait until ``condition`` returns a true value for the status of the MLJob, and return the
        status. ``what`` describes the condition in the error.
        """

        def look() -> Object | None:
            status = self.status(name)
            return status if condition(status) else None

        found = eventually(look, f"MLJob {name}: {what}", within=within, evidence=lambda: self.evidence(name))
        assert found is not None
        return found

    def until_phase(self, name: str, *phases: str, within: float = 180) -> Object:
        return self.until(name, lambda status: status.get("phase") in phases, " or ".join(phases), within=within)

    def until_finished(self, *names: str, within: float = 300) -> dict[str, Object]:
        """Wait until the MLJobs have a terminal phase and no finalizers, and return the MLJobs by
        name.
        """

        def look() -> dict[str, Object] | None:
            found = self.all()
            missing = set(names) - set(found)
            assert not missing, f"gone: {missing}"
            late = [
                f"{name}: {found[name].get('status', {}).get('phase')}" for name in names if not finished(found[name])
            ]
            assert not late, f"not finished: {', '.join(late)}"
            return found

        found = eventually(
            look, f"{len(names)} MLJobs have finished", within=within, evidence=lambda: self.unfinished_evidence(names)
        )
        assert found is not None
        return {name: found[name] for name in names}

    def until_gone(self, *names: str, within: float = 180) -> None:
        def look() -> bool:
            return not set(names) & set(self.all())

        eventually(look, f"gone: {', '.join(names)}", within=within, evidence=lambda: self.unfinished_evidence(names))

    def remove_all(self) -> None:
        self.kubectl("delete", "mljobs", "--all", "--wait=false")

    def evidence(self, *names: str) -> str:
        yaml = self.kubectl("get", "mljobs", *names, "--ignore-not-found", "--output=yaml")
        return f"{yaml}\n{self._operator_log()}"

    def unfinished_evidence(self, names: tuple[str, ...]) -> str:
        late = [name for name, found in self.all().items() if name in names and not finished(found)]
        return self.evidence(*late[:3]) if late else self._operator_log()


def finished(job: Object) -> bool:
    return job.get("status", {}).get("phase") in TERMINAL and not job["metadata"].get("finalizers")


def condition(status: Object, type_: str) -> Object | None:
    return next((found for found in status.get("conditions") or () if found["type"] == type_), None)


def holds(status: Object, type_: str) -> bool | None:
    found = condition(status, type_)
    return None if found is None else found["status"] == "True"


def assert_waiting(status: Object, reason: str) -> None:
    assert status["phase"] == "Pending"
    assert holds(status, "Reconciling") is True
    assert holds(status, "Stalled") is False
    found = condition(status, "Reconciling")
    assert found is not None
    assert (found["reason"], found["message"]) == (reason, status["message"])
