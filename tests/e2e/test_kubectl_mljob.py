from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.installation import Installation
from tests.live.plugin import Plugin, write_kubeconfig

TRAINING = "client_training"
WAIT = "attempts_wait"


@pytest.fixture(scope="module")
def installation_of_plugin(new_installation: NewInstallation) -> Installation:
    # mljob-api reads runs with the prefix of the chart's default.
    return new_installation("plugin", MLJOB_RUN_ID_PREFIX="mljob")


@pytest.fixture(scope="module")
def plugin(installation_of_plugin: Installation, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    file = tmp_path_factory.mktemp("kube") / "config"
    return Plugin(write_kubeconfig(stack.kubeconfig, file, installation_of_plugin.jobs.namespace))


def test_run_is_watched_to_its_outputs(plugin: Plugin) -> None:
    told = plugin("run", TRAINING, "--name=first", "--set=rate=0.3", "--set=epochs=3", "--type=Training", "--watch")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert lines[0] == "mljob.mljob.dev/first created"
    assert any("Running" in line for line in lines)
    assert lines[-2:] == ["Outputs:", "  accuracy  1.0"] or lines[-2:] == ["Outputs:", "  accuracy  1"]
    listed = plugin("list").out
    assert "Succeeded" in listed
    assert "2/2" in listed


def test_failure_is_explained_mended_and_retried(plugin: Plugin, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    failed = plugin("run", TRAINING, "--name=mended", f"--set=data={data}", "--wait")
    assert failed.code == 1
    assert "no data at" in failed.out

    why = plugin("why", "mended")
    assert why.code == 0
    lines = why.out.splitlines()
    assert lines[0].endswith("Failed  (TaskFailed)")
    assert any(line.split()[:1] == ["prepare"] and "failed" in line for line in lines)
    assert f"    FileNotFoundError: no data at {data}" in lines
    log = [line for line in lines if line.startswith("  | ")]
    assert 0 < len(log) <= 20
    assert any("FileNotFoundError" in line for line in log)
    assert lines[-1] == "  kubectl mljob retry mended"

    data.touch()
    retried = plugin("retry", "mended", "--watch")
    assert retried.code == 0, retried.out + retried.err
    assert "Attempt   2" in plugin("why", "mended").out


def test_log_is_followed_to_the_end_of_its_task(plugin: Plugin) -> None:
    assert plugin("run", TRAINING, "--name=logged").code == 0
    told = plugin("logs", "logged", "prepare", "-f")
    assert told.code == 0, told.err
    assert "looking for the data" in told.out
    assert plugin("wait", "logged").code == 0


def test_tree_has_the_tasks_in_the_order_of_the_dag(plugin: Plugin) -> None:
    assert plugin("run", TRAINING, "--name=drawn", "--wait").code == 0
    told = plugin("tree", "drawn")
    assert (told.code, told.err) == (0, "")
    assert [line.split()[1] for line in told.out.splitlines()[1:]] == ["prepare", "fit"]
    assert "after prepare" in told.out


def test_mistyped_param_is_explained(plugin: Plugin) -> None:
    assert plugin("run", TRAINING, "--name=mistyped", "--set=rate=high", "--wait").code == 1
    why = plugin("why", "mistyped").out
    assert "'high' is not of type 'number'" in why
    assert "kubectl edit mljob mistyped" in why


def test_verdict_is_the_exit_code(plugin: Plugin) -> None:
    assert plugin("run", WAIT, "--name=long", "--set=seconds=600").code == 0
    assert plugin("wait", "long", "--timeout=1s").code == 3

    following = plugin.start("watch", "long")
    assert following.stdout is not None
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    assert following.returncode == 130
    assert "MLJob long goes on" in err

    assert plugin("cancel", "long").code == 0
    assert plugin("wait", "long").code == 2
    assert plugin("retry", "long").code == 4


def test_sweep_is_compared_best_first(plugin: Plugin) -> None:
    told = plugin("sweep", TRAINING, "--name=rates", "--grid=rate=0.1,0.3,0.5", "--set=epochs=1", "--wait")
    assert told.code == 0, told.out + told.err
    rows = json.loads(plugin("compare", "-l", "mljob.dev/sweep=rates", "--by=accuracy", "-o", "json").out)
    assert rows[0]["rate"] == 0.3
    assert [row["accuracy"] for row in rows] == [1.0, 0.8, 0.8]
    shown = plugin("compare", "-l", "mljob.dev/sweep=rates", "--by=accuracy").out.splitlines()
    assert shown[1].startswith("*")
