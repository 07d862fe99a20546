"""A run's conf is merged from the spec, ConfigMaps and Secrets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_contract.param_schema import ADDITIONAL_PARAMS
from mljob_operator.controllers.mljob import conf_sources
from mljob_operator.core.conf.conf import problems
from mljob_operator.core.run.run_key import Key
from mljob_operator.core.run.states import RunState
from mljob_operator.ports import ConfObject
from tests.fakes.jobs import FakeJobs
from tests.fakes.source_changes import FakeSourceChanges
from tests.live.eventually import until
from tests.simulation.virtual_time import VirtualLoop

from .conftest import World
from .runs import edit, end, newest


class TestConf:
    async def test_sources_are_merged_in_order_and_conf_takes_precedence(self, world: World) -> None:
        world.jobs.data = {
            ("ConfigMap", "defaults"): {"a": "1", "b": "1", "c": "1", "more.json": '{"deep": {"x": 1}}'},
            ("Secret", "warehouse"): {"b": "2", "c": "2"},
        }
        await world.apply(
            conf={"c": 3},
            confFrom=[{"configMapRef": {"name": "defaults"}}, {"secretRef": {"name": "warehouse"}}],
        )
        assert newest(world).conf == {"a": "1", "b": "2", "c": 3, "deep": {"x": 1}}

    async def test_mljob_waits_for_a_missing_source_and_names_it(self, world: World) -> None:
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "ReferenceMissing")
        assert "Secret warehouse" in world.message
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await world.later(30)
        assert newest(world).conf == {"password": "hunter2"}

    async def test_missing_source_is_watched_until_it_exists(self, world: World) -> None:
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        await until(lambda: world.changes.watched)
        assert world.changes.watched == [ConfObject("team-a", "Secret", "warehouse")]
        world.jobs.put("Secret", "warehouse", {"password": "hunter2"})
        await until(lambda: world.airflow.runs)
        assert newest(world).conf == {"password": "hunter2"}
        await until(lambda: not world.changes.watched)

    async def test_refused_conf_is_tried_again_when_a_source_changes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conf_sources, "PAUSE", 0)
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        world.jobs.put("ConfigMap", "defaults", {"more.json": '{"epochs": "many"}'})
        await world.apply(confFrom=[{"configMapRef": {"name": "defaults"}}])
        assert world.status.reason == "ValidationFailed"
        world.jobs.put("ConfigMap", "defaults", {"more.json": '{"epochs": 5}'})
        await until(lambda: world.airflow.runs)
        assert newest(world).conf == {"epochs": 5}

    async def test_mljob_that_joins_an_existing_watch_misses_no_change(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conf_sources, "PAUSE", 0)
        woken: list[Key] = []
        sources = conf_sources.ConfSources(world.changes, woken.append)
        defaults = ConfObject("team-a", "ConfigMap", "defaults")
        sources.follow(("team-a", "first"), [defaults])
        await until(lambda: world.changes.watched)
        sources.follow(("team-a", "second"), [defaults])
        await until(lambda: woken)
        assert woken == [("team-a", "second")], "it may have changed since the MLJob read it"
        await sources.close()

    def test_constantly_changing_source_wakes_an_mljob_with_growing_pauses(self) -> None:
        async def wakes() -> int:
            jobs, woken = FakeJobs(), list[Key]()
            changes = FakeSourceChanges(jobs)
            sources = conf_sources.ConfSources(changes, woken.append)
            sources.follow(("team-a", "first"), [ConfObject("team-a", "ConfigMap", "lock")])
            await until(lambda: changes.watched)
            for _ in range(100):
                jobs.put("ConfigMap", "lock", {})
            await asyncio.sleep(100)
            await sources.close()
            return len(woken)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            # The MLJob is woken after 0, 1, 3, 7, 15, 31 and 63 seconds.
            assert runner.run(wakes()) == 7

    async def test_watches_of_one_namespace_leave_room_for_others(self, world: World) -> None:
        sources = conf_sources.ConfSources(world.changes, lambda key: None)
        for number in range(1000):
            sources.follow(("team-a", f"job-{number}"), [ConfObject("team-a", "Secret", f"secret-{number}")])
        sources.follow(("team-b", "job"), [ConfObject("team-b", "Secret", "secret")])
        await until(lambda: ConfObject("team-b", "Secret", "secret") in world.changes.watched)
        assert len(world.changes.watched) == conf_sources.MAX_WATCHES_OF_A_NAMESPACE + 1
        await sources.close()
        sources.follow(("team-a", "late"), [ConfObject("team-a", "Secret", "late")])
        assert world.changes.watched == []
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("watch ")], "nor is one begun"

    async def test_sources_of_a_deleted_mljob_are_no_longer_watched(self, world: World) -> None:
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        await until(lambda: world.changes.watched)
        await world.delete()
        assert not world.exists
        await until(lambda: not world.changes.watched)

    async def test_optional_source_is_not_waited_for(self, world: World) -> None:
        await world.apply(confFrom=[{"configMapRef": {"name": "defaults", "optional": True}}])
        assert world.status.phase is Phase.QUEUED

    async def test_error_in_conf_names_the_path_of_the_param(self, world: World) -> None:
        world.airflow.dag_params["train"] = {
            "epochs": {"value": 3, "schema": {"type": "integer"}},
            "model": {"value": None, "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}},
        }
        await world.apply(conf={"epochs": "many", "model": {"size": "big"}})
        assert world.status.reason == "ValidationFailed"
        assert "spec.conf.epochs: 'many' is not of type 'integer'" in world.message
        assert "spec.conf.model.size" in world.message
        assert "submit" not in world.airflow.calls
        await edit(world, conf={"epochs": 3})
        assert "spec.conf.model: required, of type object" in world.message

    @pytest.mark.parametrize(
        ("value", "schema", "says"),
        [
            (
                "2h",
                {"type": "integer"},
                "'2h' is not of type 'integer' (write the duration as a number; in seconds, two hours are 7200)",
            ),
            ("many", {"type": "integer"}, "'many' is not of type 'integer'."),
        ],
    )
    async def test_error_in_a_duration_says_how_to_write_it(
        self, world: World, value: str, schema: dict[str, str], says: str
    ) -> None:
        world.airflow.dag_params["train"] = {"limit": {"value": 1, "schema": schema}}
        await world.apply(conf={"limit": value})
        assert says in world.message

    async def test_misspelt_param_of_a_declared_job_is_refused(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": declared_param({"type": "integer"}, 3)}
        await world.apply(conf={"epoch": 20})
        assert (world.status.phase, world.status.reason) == (Phase.PENDING, "ValidationFailed")
        assert "spec.conf.epoch: the DAG has no such param (did you mean epochs?)." in world.message
        assert "submit" not in world.airflow.calls
        await edit(world, conf={"epochs": 20})
        assert newest(world).conf == {"epochs": 20}
        assert world.condition("UnknownParams") is None

    async def test_refused_conf_is_tried_again_every_few_minutes(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": declared_param({"type": "integer"}, 3)}
        await world.apply(conf={"epochs": 20, "alpha": 1})
        assert (world.status.reason, world.condition("Stalled")) == ("ValidationFailed", "True")
        # The operator gets no event when a DAG changes.
        world.airflow.dag_params["train"]["alpha"] = declared_param({"type": "integer"}, 0)
        await world.later(180)
        assert newest(world).conf == {"epochs": 20, "alpha": 1}
        assert (world.status.phase, world.condition("Stalled")) == (Phase.QUEUED, "False")

    async def test_misspelt_param_of_another_dag_is_a_warning(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        await world.apply(conf={"epoch": 20})
        assert newest(world).conf == {"epoch": 20}
        told = [notice.message for _, notice in world.jobs.kube_events if notice.reason == "UnknownParams"]
        assert told == [
            "The conf does not fit the params of DAG 'train': spec.conf.epoch: the DAG has no such param (did you mean epochs?). "
            "The operator submits the run, because Airflow accepts such keys, but the tasks may ignore them. "
            "If a key is misspelt, create an MLJob with another name, or delete this one and apply it corrected: "
            "runPolicy Once refuses a change of the conf after the submission."
        ]
        assert world.condition("UnknownParams") == "True"
        await world.restart()
        await end(world, RunState.SUCCESS)
        assert (world.status.phase, world.condition("UnknownParams")) == (Phase.SUCCEEDED, "True")
        assert [notice.reason for _, notice in world.jobs.kube_events].count("UnknownParams") == 1

    async def test_dag_without_params_accepts_every_key(self, world: World) -> None:
        await world.apply(conf={"epoch": 20})
        assert newest(world).conf == {"epoch": 20}
        assert world.condition("UnknownParams") is None

    async def test_refusal_of_a_value_suggests_the_param_for_an_unknown_key(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"model_id": {"value": None, "schema": {"type": "string"}}}
        await world.apply(conf={"modle_id": "digits"})
        assert world.status.reason == "ValidationFailed"
        assert "spec.conf.modle_id: the DAG has no such param (did you mean model_id?)" in world.message
        assert "spec.conf.model_id: required, of type string" in world.message

    async def test_corrected_spec_ends_the_warning(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        await world.apply(conf={"epoch": 20}, runPolicy="OnChange")
        [told] = [notice.message for _, notice in world.jobs.kube_events if notice.reason == "UnknownParams"]
        assert told.endswith(" If a key is misspelt, correct the key: the corrected conf runs again.")
        await end(world, RunState.SUCCESS)
        await edit(world, conf={"epochs": 20})
        await world.later(30)
        assert newest(world).conf == {"epochs": 20}
        assert world.condition("UnknownParams") is None

    async def test_number_from_a_config_map_is_a_string_and_the_message_says_so(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"epochs": {"value": 3, "schema": {"type": "integer"}}}
        world.jobs.put("ConfigMap", "defaults", {"epochs": "5"})
        await world.apply(confFrom=[{"configMapRef": {"name": "defaults"}}])
        assert world.status.reason == "ValidationFailed"
        assert (
            "spec.confFrom[0] (ConfigMap defaults).epochs: '5' is not of type 'integer' (the values of ConfigMap defaults are strings; "
            'a key with the suffix .json holds JSON, such as more.json: {"epochs": ...})'
        ) in world.message

    async def test_value_of_a_secret_in_an_unknown_key_is_redacted(self, world: World) -> None:
        world.airflow.dag_params["train"] = {"password": {"value": "", "schema": {"type": "string"}}}
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await world.apply(conf={"hunter2": 1}, confFrom=[{"secretRef": {"name": "warehouse"}}])
        assert newest(world).conf == {"password": "hunter2", "hunter2": 1}
        told = f"{world.status.conditions} {world.jobs.kube_events}"
        assert "hunter2" not in told
        assert told.count("spec.conf.***: the DAG has no such param") == 2

    async def test_value_of_a_secret_is_in_no_message(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        world.airflow.dag_params["train"] = {"password": {"value": "", "schema": {"type": "string", "maxLength": 3}}}
        world.jobs.data["Secret", "warehouse"] = {"password": "hunter2"}
        await world.apply(confFrom=[{"secretRef": {"name": "warehouse"}}])
        assert world.status.reason == "ValidationFailed"
        everything = f"{world.jobs.objects} {world.jobs.kube_events} {caplog.text}"
        assert "hunter2" not in everything
        assert "spec.confFrom[0] (Secret warehouse).password" in everything


def test_conf_with_a_nul_character_is_refused_before_it_is_sent() -> None:
    found = problems({"label": {"deep": ["a\x00b"]}, "fine": "\\u0000"}, {})
    assert found == ["spec.conf.label: has a NUL character, which Airflow's database can't hold"]


def declared_param(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    return {"value": default, "schema": schema | {ADDITIONAL_PARAMS: False}}
