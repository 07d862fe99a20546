from __future__ import annotations

import re
import secrets
import subprocess
from itertools import groupby
from pathlib import Path

from devstack.stack import Stack
from tests.live.kubectl import Kubectl
from tests.live.plugin import plugin_environment, write_kubeconfig
from tests.page_runners import Runner, lines_of
from tests.pages import ROOT

IN_A_CLONE = ("airflow-provider", "charts", "crds", "examples", ".venv-airflow")
"""The folders of a clone of the repository that the commands use."""
NAMESPACES = ("churn-prod", "mljob-system")
"""The namespaces that readers have, and that the pages name."""
ANOTHER_ATTEMPT = re.compile(r"kubectl (mljob retry|annotate --overwrite mljob/\S+ mljob\.dev/retry-requested-at=)")
"""A pattern for commands that request another attempt. If several pages have the same command, it
is typed only once.
"""


class PageShell:
    """Runs the commands of documentation pages in a shell, as if a reader typed them. The working
    directory looks like a clone of the repository.

    Args:
        stack: The running development stack.
        kubectl: Creates the namespaces that the pages need.
        namespace: The namespace that takes the place of ``default``.
        directory: An empty folder for the working directory and the kubeconfig.
        bound: The maximum number of seconds that a block of commands may take.
    """

    def __init__(self, stack: Stack, kubectl: Kubectl, namespace: str, directory: Path, bound: float) -> None:
        self._kubectl = kubectl
        self._namespace = namespace
        self._bound = bound
        self._typed: set[str] = set()
        self._clone = directory / "clone"
        kubeconfig = write_kubeconfig(stack.kubeconfig, directory / "config", namespace)
        self._environment = plugin_environment(kubeconfig)
        self._environment["PATH"] += f":{ROOT / '.venv-airflow' / 'bin'}"
        (self._clone / ".dev").mkdir(parents=True)
        (self._clone / ".dev" / "env").write_text(f"export KUBECONFIG={kubeconfig}\n")
        for name in IN_A_CLONE:
            (self._clone / name).symlink_to(ROOT / name)

    def types(self, runner: Runner, page: Path) -> str:
        """Run the commands of the documentation page ``page`` that are meant for the test module
        ``runner``. Return the output of the commands. Skip a command that requests another attempt
        of an MLJob if this PageShell has already run the same command.
        """
        found = list(lines_of(runner, page))
        assert found, f"{page.name} has no command that {runner} runs"
        own = self._namespaces_of("\n".join(line for _, _, line in found))
        printed = []
        for where, lines in groupby(found, lambda each: each[1].where):
            new = [line for _, _, line in lines if not (ANOTHER_ATTEMPT.match(line) and line in self._typed)]
            self._typed.update(new)
            printed.append(self._run(where, "\n".join(self._adapted(line, own) for line in new)))
        return "".join(printed)

    def _namespaces_of(self, text: str) -> dict[str, str]:
        own = {}
        for name in NAMESPACES:
            if re.search(rf"\b{name}\b", text):
                own[name] = f"{name}-{secrets.token_hex(3)}"
                self._kubectl("create", "namespace", own[name])
        return own

    def _adapted(self, line: str, own: dict[str, str]) -> str:
        """Return a command of a documentation page, changed so that the test can run the command.
        ``own`` maps each namespace of ``NAMESPACES`` that the page names to a namespace of the
        test.
        """
        if requested := re.match(r"kubectl annotate \S+ mljob/(\S+) mljob\.dev/retry-requested-at=", line):
            # The pages go on with the log of the new attempt.
            return f"{line}\nkubectl mljob wait {requested[1]}"
        line = line.replace("/namespaces/default/", f"/namespaces/{self._namespace}/")
        for name, ours in own.items():
            line = re.sub(rf"(?<![\w-]){name}(?![\w-])", ours, line)
        watch = re.fullmatch(r"(kubectl get .* -w)( *#.*)?", line)
        return f"(set +o pipefail; {watch[1]} | grep --max-count=2 .)" if watch else line

    def _run(self, where: str, script: str) -> str:
        done = subprocess.run(
            ["bash", "-ex", "-o", "pipefail", "-c", script],
            cwd=self._clone,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self._bound,
            check=False,
        )
        assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
        return done.stdout
