"""Measures the start of the Python client: the import, the first list of MLJobs, and two commands
of ``kubectl mljob``.

Each of these four is a program that runs in its own Python process. The figures are the CPU time of
the whole process, without the start of Python itself. For each program, the benchmark also measures
a floor: a minimal program that imports the program's main libraries and lists the same MLJobs, if
any, without the Python client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.figures import percentile
from devstack.progress import step

RUNS = 20
JOBS = 100
"""How many MLJobs the list has."""
PROGRAMS: Mapping[str, tuple[str, str]] = {
    "import": ("from mljob import Client", "import httpx2"),
    "first_list": (
        """
from mljob import Client
from mljob.kubeconfig import ClusterConfig
from mljob.sync.transport import Transport
for job in Client(transport=Transport(ClusterConfig("{url}"))).list_jobs():
    print(job.name, job.state.phase)
""",
        """
import httpx2
for job in httpx2.get("{url}/apis/mljob.dev/v1alpha1/namespaces/default/mljobs").json()["items"]:
    print(job["metadata"]["name"], job["status"]["phase"])
""",
    ),
    "kubectl_mljob_help": (
        'import sys; sys.argv = ["kubectl-mljob", "--help"]; from mljob.cli.app import run; run(sys.argv[1:])',
        "import typer",
    ),
    "kubectl_mljob_list": (
        """
import json, pathlib, tempfile
from mljob.cli.app import run
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder, "config")
    cluster = [{"name": "test", "cluster": {"server": "{url}"}}]
    contexts = [{"name": "test", "context": {"cluster": "test"}}]
    file.write_text(json.dumps({"current-context": "test", "contexts": contexts, "clusters": cluster}))
    assert run(["list", "--kubeconfig", str(file)]) == 0
""",
        """
import httpx2, typer, yaml
for job in httpx2.get("{url}/apis/mljob.dev/v1alpha1/namespaces/default/mljobs").json()["items"]:
    print(job["metadata"]["name"], job["status"]["phase"])
""",
    ),
}
"""The client's program and the floor's program, by name."""


@dataclass(frozen=True, slots=True)
class Result:
    """The CPU time of each program and of its floor, in milliseconds, without the start of Python.
    The floor is a minimal program that does not use the client.

    Each figure is the 10th percentile of several runs, because other load of the machine affects
    the fastest runs least.

    Attributes:
        client: The CPU time of the programs that use the client, by name.
        floor: The CPU time of the floors, by the same names.
    """

    client: Mapping[str, float]
    floor: Mapping[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return for each program, by name: the rounded CPU times of the program and of its floor,
        and the program's CPU time divided by the floor's CPU time.
        """
        return {
            name: {
                "cpu_ms": round(self.client[name], 1),
                "floor_ms": round(self.floor[name], 1),
                "ratio": round(self.client[name] / self.floor[name], 2),
            }
            for name in self.client
        }


def measure(runs: int = RUNS) -> Result:
    """Run each program and its floor ``runs`` times, and return the CPU times as a
    :class:`Result`. The floor is a minimal program that does not use the client.
    """
    client: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    floor: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    python: list[float] = []
    with step("client", f"{runs} starts of the Python client"), _api_server() as url:
        for _ in range(runs):
            python.append(_cpu_ms("pass"))
            for name, (program, least) in PROGRAMS.items():
                client[name].append(_cpu_ms(program.replace("{url}", url)))
                floor[name].append(_cpu_ms(least.replace("{url}", url)))
    bare = percentile(python, 0.1)
    figures = ({name: percentile(samples, 0.1) - bare for name, samples in side.items()} for side in (client, floor))
    return Result(*figures)


def _cpu_ms(program: str) -> float:
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, program)
    return 1000 * (usage.ru_utime + usage.ru_stime)


@contextmanager
def _api_server() -> Iterator[str]:
    answer = json.dumps({"metadata": {"resourceVersion": "1"}, "items": [_job(number) for number in range(JOBS)]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: Any) -> None:
            """Print no requests to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _job(number: int) -> dict[str, Any]:
    tasks = [{"taskId": f"task-{task}", "state": "success", "tryNumber": 1} for task in range(5)]
    return {
        "metadata": {"name": f"job-{number}", "namespace": "default", "uid": str(number), "resourceVersion": "1"},
        "spec": {"dagId": "train_model", "conf": {"epochs": 20, "model_id": "digits"}},
        "status": {"phase": "Succeeded", "tasks": tasks, "progress": "5/5"},
    }
