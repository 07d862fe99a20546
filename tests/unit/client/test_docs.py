"""The examples of the Python client in the documentation can be executed."""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from mljob import AsyncJob, Job
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster
from tests.pages import ROOT, blocks
from tests.unit.client.statuses import failed, succeeded

GUIDE = ROOT / "docs" / "guides" / "python.md"
POINT = {"kind": "metrics", "time": "2026-01-01T00:00:00Z", "source": "Kafka", "taskId": "fit", "tryNumber": 1}


def _answer(body: bytes, _: Asked) -> Answer:
    return Answer(200, body)


class Operator:
    """A fake operator that ends each new MLJob of the fake cluster. An MLJob fails if its
    ``spec.conf.model_id`` is "missing". All other MLJobs succeed.
    """

    def __init__(self, cluster: MLJobCluster) -> None:
        self._cluster = cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.01):
            for job in self._cluster.all():
                if "phase" not in job["status"]:
                    self._end(job["metadata"]["name"], job["spec"].get("conf", {}))

    def _end(self, name: str, conf: dict[str, Any]) -> None:
        point = json.dumps({**POINT, "metrics": {"loss": 0.5}}).encode()
        answers = {"log": b"reading the data\n", "events": point + b'\n{"kind": "end", "reason": "Complete"}\n'}
        for part, body in answers.items():
            self._cluster.runs[f"default/{name}/{part}"] = partial(_answer, body)
        ended = (
            failed()
            if conf.get("model_id") == "missing"
            else succeeded(outputs={"accuracy": conf.get("learning_rate", 0.5)})
        )
        self._cluster.put(name, "default", status=ended)


@pytest.fixture
def kubeconfig(cluster: MLJobCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    config = {
        "current-context": "dev",
        "contexts": [{"name": "dev", "context": {"cluster": "dev"}}],
        "clusters": [{"name": "dev", "cluster": {"server": cluster.url}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with Operator(cluster):
        yield


def test_blocks_of_the_guide_run_in_order(
    cluster: MLJobCluster, kubeconfig: None, capsys: pytest.CaptureFixture[str]
) -> None:
    namespace: dict[str, Any] = {"__name__": "guide"}
    found = list(blocks(GUIDE, "python"))

    for block in found:
        exec(compile(block.text, block.where, "exec", dont_inherit=True), namespace)

    printed = capsys.readouterr().out
    assert "Succeeded" in printed
    assert "fit ValueError: no data\nreading the data" in printed
    assert re.search(r"^name +phase +.*learning_rate", printed, re.MULTILINE)
    best = cluster.get(namespace["best"].name, "default")
    assert best["spec"]["conf"]["learning_rate"] == 0.3
    namespace["client"].close()


def test_every_method_of_a_handle_is_in_the_guide() -> None:
    text = GUIDE.read_text()
    public = [name for name in vars(Job) if not name.startswith("_") and callable(getattr(Job, name))]

    assert set(public) == {
        name for name in vars(AsyncJob) if not name.startswith("_") and callable(getattr(AsyncJob, name))
    }
    assert [name for name in public if name != "refresh" and f"{name}(" not in text] == []


# The pages' clients are never closed, as in a notebook.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", ["README.md", "docs/data-scientist.md", "docs/guides/compare.md"])
def test_blocks_of_other_pages_run_too(cluster: MLJobCluster, kubeconfig: None, page: str) -> None:
    for number in (1, 2):
        ended = succeeded(outputs={"accuracy": number / 4})
        cluster.put(f"width-{number}", "default", labels={"experiment": "width"}, status=ended)
    found = [block for block in blocks(ROOT / page, "python") if "from mljob import" in block.text]

    assert found
    for block in found:
        exec(compile(block.text, block.where, "exec", dont_inherit=True), {"__name__": "page"})
        gc.collect()
