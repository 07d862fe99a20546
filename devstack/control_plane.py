"""A Kubernetes API for the stack: etcd, kube-apiserver and kube-controller-manager, as processes on
loopback.

There is no kubelet and no scheduler. So Pods stay Pending, and the stack runs the operator as a
process instead of a Pod. Admission, RBAC, garbage collection and ServiceAccount tokens work as in
any cluster.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import trustme

from devstack import http
from devstack.component import Component, Step
from devstack.ports import HOST, Ports
from devstack.processes import Command, run
from devstack.secrets_file import Secrets

_SERVICES = "10.0.0.0/24"
_NAMES = ("localhost", HOST, "10.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
"""The names in the API server's certificate: the names on loopback, and the names and the address
of the Service `kubernetes`. The Service has the first address of `_SERVICES`.
"""

_FRONT_PROXY = "front-proxy-client"
"""The common name in the certificate with which the API server calls aggregated API servers."""


class ControlPlane:
    """The Kubernetes control plane of one stack: its processes, its certificates, and the
    kubeconfig of its administrator.
    """

    def __init__(self, directory: Path, ports: Ports, secrets: Secrets, binaries: Mapping[str, Path]) -> None:
        self._directory = directory / "kubernetes"
        self._ports = ports
        self._secrets = secrets
        self._binaries = binaries
        self.kubeconfig = directory / "admin.kubeconfig"

    def parts(self) -> list[Component | Step]:
        """Return three components: etcd, kube-apiserver and kube-controller-manager."""
        return [
            Component(
                "etcd",
                self._etcd,
                lambda: '"true"' in http.get(f"http://{HOST}:{self._ports['etcd']}/health"),
                needs=("binaries",),
                ports=("etcd", "etcd-peer"),
            ),
            Component(
                "kube-apiserver",
                self._apiserver,
                lambda: self._get("/readyz") == "ok",
                needs=("etcd",),
                ports=("kube-apiserver",),
                prepare=self._prepare,
                bound=90,
            ),
            Component(
                "kube-controller-manager",
                self._controller_manager,
                self._controllers_work,
                needs=("kube-apiserver",),
                ports=("kube-controller-manager",),
                bound=90,
                patience=5,
            ),
        ]

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{HOST}:{self._ports['kube-apiserver']}"

    @property
    def authority(self) -> Path:
        """The path of the CA certificate that verifies the certificate of the API server."""
        return self._directory / "ca.crt"

    @property
    def _certificate(self) -> Path:
        return self._directory / "server.crt"

    @property
    def _key(self) -> Path:
        """The path of the API server's private key. The key signs ServiceAccount tokens too."""
        return self._directory / "server.key"

    def _front_proxy(self, part: str) -> Path:
        """Return the path of one of the files with which the API server authenticates to aggregated
        API servers, such as mljob-api. In this role, Kubernetes calls the API server the front
        proxy.

        `part` names the file: `crt` is the API server's client certificate, `key` is the private
        key of the client certificate, and `ca` is the certificate of the authority that signed the
        client certificate.
        """
        return self._directory / f"front-proxy.{part}"

    def _get(self, path: str) -> str:
        return http.get(self.server + path, self._secrets["kubernetes-admin"], self.authority)

    def _controllers_work(self) -> bool:
        """Return True if the ServiceAccount `default` exists in the namespace `default`. A
        controller creates this ServiceAccount, so its existence shows that the controllers work.
        This function never returns False.

        Raises:
            urllib.error.HTTPError: The ServiceAccount does not exist yet.
        """
        self._get("/api/v1/namespaces/default/serviceaccounts/default")
        return True

    def _etcd(self) -> Command:
        client, peer = (f"http://{HOST}:{self._ports[name]}" for name in ("etcd", "etcd-peer"))
        return Command(
            (
                str(self._binaries["etcd"]),
                "--name=devstack",
                f"--data-dir={self._directory / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=devstack={peer}",
                "--unsafe-no-fsync",
                "--logger=zap",
                "--log-level=warn",
            )
        )

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        if not self._key.exists():
            self._make_certificates()
        if not self._front_proxy("key").exists():
            self._make_front_proxy()
        tokens = self._directory / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self._secrets["kubernetes-admin"]},admin,admin,"system:masters"\n')
        write_kubeconfig(self.kubeconfig, self.server, self.authority, "admin", self._secrets["kubernetes-admin"])

    def _make_certificates(self) -> None:
        """Make the API server's certificate: write the certificate, its private key, and the
        certificate of the authority that signed it.

        The API server could make a certificate for itself. But newer versions of Python verify
        certificates strictly, and refuse such a certificate because of missing extensions.
        """
        authority = trustme.CA(organization_name="mljob devstack")
        server = authority.issue_cert(*_NAMES, organization_name="mljob devstack", common_name="kube-apiserver")
        authority.cert_pem.write_to_path(self.authority)
        server.cert_chain_pems[0].write_to_path(self._certificate)
        write_private_key(server, self._key)

    def _make_front_proxy(self) -> None:
        """Make the client certificate with which the API server calls aggregated API servers: write
        the certificate, its private key, and the certificate of the authority that signed it. As
        with kubeadm, this authority signs nothing else.
        """
        authority = trustme.CA(organization_name="mljob devstack front proxy")
        # trustme requires a name of a host.
        client = authority.issue_cert("localhost", common_name=_FRONT_PROXY)
        authority.cert_pem.write_to_path(self._front_proxy("ca"))
        client.cert_chain_pems[0].write_to_path(self._front_proxy("crt"))
        write_private_key(client, self._front_proxy("key"))

    def _apiserver(self) -> Command:
        folder = self._directory
        return Command(
            (
                str(self._binaries["kube-apiserver"]),
                f"--etcd-servers=http://{HOST}:{self._ports['etcd']}",
                f"--bind-address={HOST}",
                f"--advertise-address={HOST}",
                "--endpoint-reconciler-type=none",
                f"--secure-port={self._ports['kube-apiserver']}",
                f"--tls-cert-file={self._certificate}",
                f"--tls-private-key-file={self._key}",
                f"--cert-dir={folder}",
                f"--token-auth-file={folder / 'tokens.csv'}",
                f"--service-account-key-file={self._key}",
                f"--service-account-signing-key-file={self._key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=RBAC",
                f"--service-cluster-ip-range={_SERVICES}",
                f"--proxy-client-cert-file={self._front_proxy('crt')}",
                f"--proxy-client-key-file={self._front_proxy('key')}",
                f"--requestheader-client-ca-file={self._front_proxy('ca')}",
                f"--requestheader-allowed-names={_FRONT_PROXY}",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--shutdown-delay-duration=0s",
            )
        )

    def _controller_manager(self) -> Command:
        return Command(
            (
                str(self._binaries["kube-controller-manager"]),
                f"--kubeconfig={self.kubeconfig}",
                f"--bind-address={HOST}",
                f"--secure-port={self._ports['kube-controller-manager']}",
                f"--cert-dir={self._directory / 'controller-manager'}",
                f"--root-ca-file={self.authority}",
                f"--service-account-private-key-file={self._key}",
                "--use-service-account-credentials=true",
                "--leader-elect=false",
            )
        )


def write_private_key(certificate: trustme.LeafCert, path: Path) -> None:
    """Write the private key of a certificate to a file. Only the owner of the file can read it."""
    path.touch(mode=0o600)
    certificate.private_key_pem.write_to_path(path)


def write_service_account_kubeconfig(kubectl: Kubectl, namespace: str, name: str, path: Path) -> None:
    """Create a new token of a ServiceAccount, and write a kubeconfig with which a program acts as
    the ServiceAccount in the cluster of ``kubectl``. The token is requested for 720 hours.
    """
    token = kubectl("--namespace", namespace, "create", "token", name, "--duration=720h").strip()
    admin = json.loads(kubectl("config", "view", "--minify", "--raw", "--flatten", "--output=json"))
    cluster = admin["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"])
    write_kubeconfig(path, cluster["server"], authority, name, token)


def write_kubeconfig(path: Path, server: str, authority: Path | bytes, user: str, token: str) -> None:
    """Write a kubeconfig with one cluster and one user, who authenticates with a token. Only the
    owner of the file can read it.
    """
    content = authority if isinstance(authority, bytes) else authority.read_bytes()
    partial = path.with_suffix(".part")
    partial.touch(mode=0o600)
    partial.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "devstack",
                        "cluster": {"server": server, "certificate-authority-data": base64.b64encode(content).decode()},
                    }
                ],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [
                    {"name": "devstack", "context": {"cluster": "devstack", "user": user, "namespace": "default"}}
                ],
                "current-context": "devstack",
            },
            indent=2,
        )
    )
    partial.rename(path)


class Kubectl:
    """Runs kubectl, or helm, as the cluster's administrator."""

    def __init__(self, binaries: Mapping[str, Path], kubeconfig: Path) -> None:
        self._binaries = binaries
        self._kubeconfig = kubeconfig

    def command(self, *arguments: str, program: str = "kubectl") -> list[str]:
        """Return the command for these arguments as a list, with the program and the kubeconfig.
        Start this command to read its output while it runs. :meth:`__call__` returns the output
        only after the end of the command.
        """
        return [str(self._binaries[program]), f"--kubeconfig={self._kubeconfig}", *arguments]

    def __call__(self, *arguments: str, program: str = "kubectl", stdin: str | None = None) -> str:
        """Run kubectl, or another `program`, with these arguments, and return its standard output.

        Raises:
            StackError: The command failed; the message has its output.
        """
        return run(self.command(*arguments, program=program), input=stdin)
