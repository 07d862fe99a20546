from __future__ import annotations

from mljob_contract.graph import MAX_GRAPH_TASKS, RunGraph
from mljob_contract.run_api import RunSubresource
from mljob_operator.api.graph import graph_of
from mljob_operator.api.readings import Reading
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.run.states import TaskState
from mljob_operator.ports import DagTask

from .conftest import ApiWorld, message_of

KEY = RunKey("", "train", "mljob.team-a.churn.abcdefghij-1")


def task(task_id: str, *downstream: str) -> DagTask:
    return DagTask(task_id, task_id, "PythonOperator", downstream)


async def test_graph_has_tasks_with_states_and_edges(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    del run.tasks["fit", -1]
    for index, state in enumerate((TaskState.SUCCESS, TaskState.SKIPPED, TaskState.RUNNING)):
        world.airflow.set_task(run, "fit", state, map_index=index)
    graph = RunGraph.model_validate(await world.graph())
    assert (graph.dag_id, graph.dag_run_id, graph.state) == ("train", run.run_id, "running")
    assert [(found.id, found.state, found.counts) for found in graph.tasks] == [
        ("extract", "success", None),
        ("fit", "running", "2/3"),
    ]
    assert [(edge.source, edge.target) for edge in graph.edges] == [("extract", "fit")]


async def test_run_that_airflow_does_not_have_is_not_found(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    del world.airflow.runs[run.dag_id, run.run_id]
    del world.airflow.dags["train"]
    code, message = await message_of(await world.ask(RunSubresource.GRAPH))
    assert (code, "Airflow has no run" in message) == (404, True)


def test_tasks_come_in_the_order_of_their_depth_then_by_id() -> None:
    structure = [task("z", "m"), task("m", "b", "a"), task("a"), task("b"), task("c", "a")]
    graph = graph_of(KEY, structure, Reading(None))
    assert [found.id for found in graph.tasks] == ["c", "z", "m", "a", "b"]


def test_tasks_of_a_cycle_are_sorted_by_id() -> None:
    structure = [task("z", "y"), task("y", "z"), task("b", "a"), task("a")]
    graph = graph_of(KEY, structure, Reading(None))
    assert [found.id for found in graph.tasks] == ["a", "b", "y", "z"]


def test_group_and_label_are_parts_of_the_id() -> None:
    (found,) = graph_of(KEY, [task("outer.inner.fit")], Reading(None)).tasks
    assert (found.label, found.group) == ("fit", "outer.inner")


def test_a_cycle_and_edges_to_unknown_tasks_do_no_harm() -> None:
    graph = graph_of(KEY, [task("a", "b"), task("b", "a", "nowhere")], Reading(None))
    assert [found.id for found in graph.tasks] == ["a", "b"]
    assert {(edge.source, edge.target) for edge in graph.edges} == {("a", "b"), ("b", "a")}


def test_a_large_graph_is_cut_and_says_so() -> None:
    structure = [task(f"t{number:05}") for number in range(MAX_GRAPH_TASKS + 3)]
    graph = graph_of(KEY, structure, Reading(None))
    assert (len(graph.tasks), graph.tasks_omitted) == (MAX_GRAPH_TASKS, 3)
