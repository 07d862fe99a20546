from __future__ import annotations

from tests.chart.conftest import Render
from tests.chart.rendering import NAMESPACE


def test_the_service_forwards_to_the_operators_port(render: Render) -> None:
    service = render({"service": {"port": 9090, "annotations": {"example.com/a": "b"}}}).one("Service")

    assert service["spec"]["ports"] == [{"name": "http", "port": 9090, "targetPort": "http", "protocol": "TCP"}]
    assert service["metadata"]["annotations"] == {"example.com/a": "b"}


def test_there_is_no_service_monitor_by_default(render: Render) -> None:
    # Without the CRD of ServiceMonitor, which is not part of Kubernetes, the installation would
    # fail.
    assert not render().all("ServiceMonitor")


def test_the_service_monitor_scrapes_the_service(render: Render) -> None:
    rendered = render({"serviceMonitor": {"enabled": True, "interval": "10s", "labels": {"release": "prometheus"}}})

    monitor, service = rendered.one("ServiceMonitor"), rendered.one("Service")
    assert monitor["metadata"]["namespace"] == NAMESPACE
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"] == [
        {
            "port": "http",
            "path": "/metrics",
            "interval": "10s",
            "honorLabels": True,
            "relabelings": [{"targetLabel": "job", "replacement": f"{NAMESPACE}/mljob-operator"}],
        }
    ]


RELABELING = {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"}
DROPPED = {"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}


def test_all_values_reach_every_service_monitor(render: Render) -> None:
    values = {
        "enabled": True,
        "namespace": "monitoring",
        "labels": {"release": "prometheus"},
        "annotations": {"example.com/a": "b"},
        "interval": "15s",
        "scrapeTimeout": "10s",
        "honorLabels": True,
        "targetLabels": ["team"],
        "podTargetLabels": ["zone"],
        "relabelings": [RELABELING],
        "metricRelabelings": [DROPPED],
        "sampleLimit": 5000,
    }
    monitors = render({"serviceMonitor": values, "api": {"enabled": True}}).all("ServiceMonitor")

    assert len(monitors) == 2
    for monitor in monitors:
        assert monitor["metadata"]["namespace"] == "monitoring"
        assert monitor["metadata"]["annotations"] == {"example.com/a": "b"}
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        spec = monitor["spec"]
        assert spec.pop("selector")["matchLabels"]
        assert spec == {
            "namespaceSelector": {"matchNames": [NAMESPACE]},
            "targetLabels": ["team"],
            "podTargetLabels": ["zone"],
            "sampleLimit": 5000,
            "endpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    "interval": "15s",
                    "scrapeTimeout": "10s",
                    "honorLabels": True,
                    "relabelings": [
                        {"targetLabel": "job", "replacement": f"{NAMESPACE}/{monitor['metadata']['name']}"},
                        RELABELING,
                    ],
                    "metricRelabelings": [DROPPED],
                }
            ],
        }


def test_mljob_api_has_a_service_monitor_of_its_own(render: Render) -> None:
    rendered = render({"serviceMonitor": {"enabled": True}, "api": {"enabled": True}})

    for service in rendered.all("Service"):
        monitor = rendered.one("ServiceMonitor", service["metadata"]["name"])
        others = [each for each in rendered.all("Service") if each is not service]
        selector = monitor["spec"]["selector"]["matchLabels"].items()
        assert selector <= service["metadata"]["labels"].items()
        assert not any(selector <= each["metadata"]["labels"].items() for each in others)
        assert monitor["spec"]["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
