"""The programs of the container images start under the restrictions of the chart's Pods. No image
is built: the files of an image are installed into a folder.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack import binaries
from devstack.ports import HOST, Ports
from tests.chart import rendering
from tests.chart.rendering import merged
from tests.chart.value_sets import COMPONENTS
from tests.fakes.kubernetes_api import KubernetesApi, kubeconfig
from tests.live import image
from tests.live.authority import Authority
from tests.live.eventually import eventually

pytestmark = [
    pytest.mark.skipif(bool(image.missing()), reason=f"no container can be imitated: {image.missing()}"),
    pytest.mark.timeout(300),
]

PROBE = """
import json, os
def writes(path):
    try:
        open(path, "w").close()
    except OSError as error:
        return error.strerror
    return ""
print(json.dumps({
    "user": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith(("CapEff", "CapBnd"))],
    "root": writes("/file"), "content": writes("/opt/packages/file"), "tmp": writes("/tmp/file"),
}))
"""

Start = Callable[..., "Container"]


class Container:
    """A process under the restrictions that the operator's chart sets for its Pods."""

    def __init__(self, content: Path, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self._process = image.start(content, arguments, environment, log)

    def answers(self, url: str) -> int:
        """Return the HTTP status of the answer at ``url``, or 0 if there is no answer."""
        assert self._process.poll() is None, self.log
        try:
            return urllib3.PoolManager(retries=False, timeout=10).request("GET", url).status
        except urllib3.exceptions.HTTPError:
            return 0

    def until_answers(self, url: str, status: int = 200) -> None:
        eventually(lambda: self.answers(url) == status, f"{url} answers {status}", evidence=lambda: self.log)

    def output(self) -> str:
        assert self._process.wait(60) == 0, self.log
        return self.log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def told_to_end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Container] = []

    def begin(content: Path, *arguments: str, **environment: str) -> Container:
        started.append(Container(content, arguments, environment, tmp_path / f"{len(started)}.log"))
        return started[-1]

    yield begin
    for container in started:
        container.end()


@pytest.fixture(scope="module")
def operator_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("operator") / "opt"
    image.install(target, "operator.txt", "contract", "operator")
    return target


@pytest.fixture(scope="module")
def view_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("view") / "opt"
    image.install(target, "client.txt", "contract", "client")
    return target


def environment_of(name: str) -> dict[str, str]:
    """Return the environment variables that the chart sets in the first container of the Deployment
    ``name``. Variables with ``valueFrom`` are left out.
    """
    rendered = rendering.render(binaries.locate("helm")["helm"], merged(COMPONENTS, {"airflow": {"url": ""}}))
    container = rendered.one("Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def test_the_container_is_as_restricted_as_the_charts_pod(operator_image: Path, start: Start) -> None:
    found: dict[str, Any] = json.loads(start(operator_image, "-c", PROBE).output())

    assert found == {
        "user": [image.USER, image.USER, []],
        "capabilities": ["0" * 16, "0" * 16],
        "root": "Read-only file system",
        "content": "Read-only file system",
        "tmp": "",
    }


def test_the_operator_becomes_ready_and_ends_when_it_is_told(
    operator_image: Path, start: Start, tmp_path: Path
) -> None:
    with KubernetesApi() as api:
        config = kubeconfig(operator_image / "kubeconfig", f"http://{HOST}:{api.port}")
        config.chmod(0o644)
        port = Ports(tmp_path)["operator"]
        given = environment_of("mljob-operator") | {
            "KUBECONFIG": str(image.HOME / config.name),
            "MLJOB_HTTP_PORT": str(port),
            "MLJOB_POD_NAME": "mljob-operator-0",
            "MLJOB_POD_UID": "0",
        }
        operator = start(operator_image, "-m", "mljob_operator", **given)

        operator.until_answers(f"http://{HOST}:{port}/livez")
        operator.until_answers(f"http://{HOST}:{port}/readyz")
        assert operator.told_to_end() == 0, operator.log
    assert "Traceback" not in operator.log


def test_mljob_api_listens(operator_image: Path, start: Start, tmp_path: Path) -> None:
    ports = Ports(tmp_path)
    certificate, key = Authority().client("mljob-operator-api.mljob-system.svc")
    for name, content in (("tls.crt", certificate), ("tls.key", key)):
        (operator_image / name).write_bytes(content)
        (operator_image / name).chmod(0o644)
    config = kubeconfig(operator_image / "kubeconfig", f"http://{HOST}:{ports['nobody']}")
    config.chmod(0o644)
    given = environment_of("mljob-operator-api") | {
        "KUBECONFIG": str(image.HOME / config.name),
        "MLJOB_API_PORT": str(ports["api"]),
        "MLJOB_API_PROBE_PORT": str(ports["probes"]),
        "MLJOB_API_CERT_FILE": str(image.HOME / "tls.crt"),
        "MLJOB_API_KEY_FILE": str(image.HOME / "tls.key"),
    }

    api = start(operator_image, "-m", "mljob_operator.api", **given)

    api.until_answers(f"http://{HOST}:{ports['probes']}/livez")
    # Without an API server, mljob-api can't read the CA of its only client.
    api.until_answers(f"http://{HOST}:{ports['probes']}/readyz", 503)


def test_the_view_becomes_ready(view_image: Path, start: Start, tmp_path: Path) -> None:
    port = Ports(tmp_path)["view"]
    Authority().write_certificate(view_image / "ca.crt").chmod(0o644)
    given = environment_of("mljob-operator-view") | {
        "KUBERNETES_SERVICE_HOST": HOST,
        "KUBERNETES_SERVICE_PORT": "1",
        "MLJOB_VIEW_PORT": str(port),
        "MLJOB_VIEW_CA_FILE": str(image.HOME / "ca.crt"),
    }

    view = start(view_image, "-m", "mljob.view", **given)

    view.until_answers(f"http://{HOST}:{port}/livez")
    view.until_answers(f"http://{HOST}:{port}/readyz")


def test_an_image_has_no_package_of_the_other(operator_image: Path, view_image: Path) -> None:
    assert not (operator_image / "packages" / "mljob").exists()
    assert not (view_image / "packages" / "mljob_operator").exists()
    assert (operator_image / "packages" / "mljob_contract").exists()
