from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mljob.cli.app import MODULES, application
from mljob.cli.completion import answer
from tests.fakes.mljob_cluster import MLJobCluster, refusal
from tests.unit.client.cli.conftest import Plugin
from tests.unit.client.statuses import failed, running, succeeded

COMMANDS = sorted(
    command.name or command.callback.__name__ for command in application().registered_commands if command.callback
)
HEAVY = {"httpx2", "mljob_contract", "rich", "yaml", "cel", "ssl", "mljob.sync.client"}
"""Modules that `--help` must not import, because each import takes time."""


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from mljob.cli import main; sys.argv[0] = 'kubectl-mljob'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_all_its_options_explained(command: str, plugin: Plugin) -> None:
    told = plugin(command, "--help")
    assert (told.code, told.err) == (0, "")
    assert "--namespace" in told.out
    assert "--kubeconfig" in told.out
    options = [line for line in told.out.splitlines() if line.startswith("  -")]
    assert options
    assert all(len(line) <= 100 for line in told.out.splitlines())


def test_each_command_fits_on_a_line_of_the_help(plugin: Plugin) -> None:
    lines = plugin("--help").out.split("Commands:\n")[1].splitlines()
    assert sorted(line.split()[0] for line in lines) == COMMANDS
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)


def test_each_command_is_where_the_table_of_modules_says() -> None:
    for names in MODULES.values():
        found = application(names[0]).registered_commands
        assert [each.name or each.callback.__name__ for each in found if each.callback] == list(names)
    assert sorted(name for names in MODULES.values() for name in names) == COMMANDS


def test_list_imports_what_it_needs_and_no_more(cluster: MLJobCluster, kubeconfig: Path) -> None:
    cluster.put("digits", status=running())
    code = "import sys; from mljob.cli.app import run; run(['list']); print(*sys.modules, file=sys.stderr)"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert "digits" in done.stdout
    imported = set(done.stderr.split())
    assert imported.isdisjoint({"mljob_contract", "rich.console", "cel", "asyncio.base_events", "mljob.compare"})
    assert {name for name in imported if name.startswith("mljob.cli.")} == {
        *(f"mljob.cli.{name}" for name in ("app", "completion", "exits", "listing", "live", "live_list", "options")),
        *(f"mljob.cli.{name}" for name in ("pages", "screen", "session")),
    }


def test_help_imports_nothing_that_takes_time() -> None:
    code = "import sys; from mljob.cli.app import run; run(['run', '--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Run a DAG" in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.parametrize("arguments", [("nonsense",), ("list", "--nonsense"), ("watch",), ("list", "-o", "xml")])
def test_wrong_usage_has_a_code_of_its_own(arguments: tuple[str, ...], plugin: Plugin) -> None:
    told = plugin(*arguments)
    assert (told.code, told.out) == (64, "")
    assert "kubectl mljob" in told.err


def test_misspelt_command_is_recognised(plugin: Plugin) -> None:
    assert "Did you mean 'watch'" in plugin("wacth").err


def test_version_is_that_of_the_package(plugin: Plugin) -> None:
    assert plugin("--version").out == f"kubectl mljob {(Path(__file__).parents[4] / 'VERSION').read_text().strip()}\n"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--kubeconfig=/no/such/file",), "/no/such/file: the kubeconfig does not exist"),
        (("--context=nowhere",), "'nowhere'"),
    ],
)
def test_kubeconfig_that_can_not_be_used_is_an_error_with_the_way_out(
    options: tuple[str, ...], why: str, plugin: Plugin
) -> None:
    told = plugin("list", *options)
    assert (told.code, told.out) == (4, "")
    assert why in told.err
    assert "Traceback" not in told.err


def test_server_that_does_not_answer_is_an_error(plugin: Plugin, cluster: MLJobCluster) -> None:
    cluster.close()
    told = plugin("list")
    assert told.code == 4
    assert cluster.url in told.err


def test_errors_from_the_server_are_harmless(plugin: Plugin, cluster: MLJobCluster) -> None:
    cluster.interfere = lambda _: refusal(403, "Forbidden", "\x1b]0;owned\x07\u202eno")
    told = plugin("list")
    assert told.err.replace("\n", "").isprintable()


def test_unexpected_error_is_no_failed_mljob(
    cluster: MLJobCluster, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("odd \x1b[2Jvalue")

    cluster.put("digits", status=running())
    monkeypatch.setattr("mljob.cli.pages.list_lines", broken)
    told = plugin("list")
    assert (told.code, told.out) == (4, "")
    assert told.err.startswith("Traceback (most recent call last):\n")
    assert told.err.splitlines()[-1].startswith("Error: ValueError: odd value. This is a bug of kubectl mljob")
    assert told.err.replace("\n", "").isprintable()


def test_reader_that_leaves_ends_the_command_quietly(cluster: MLJobCluster, kubeconfig: Path) -> None:
    for number in range(200):
        cluster.put(f"digits-{number}", status=failed(message="x" * 400))
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from mljob.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "list"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_terminal_without_unicode_gets_ascii(cluster: MLJobCluster, kubeconfig: Path) -> None:
    cluster.put("digits", status=failed(message="Größe 10 µm"))
    told = program("list", KUBECONFIG=str(kubeconfig), PYTHONIOENCODING="ascii")
    assert told.returncode == 0, told.stderr
    assert "! Failed" in told.stdout
    assert told.stdout.isascii()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list",), 0),
        (("list", "-o", "json"), 0),
        (("wait", "digits"), 1),
        (("wait", "-q", "digits"), 1),
        (("watch", "digits"), 1),
        (("why", "digits"), 0),
        (("cancel", "busy"), 0),
    ],
)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(
    arguments: tuple[str, ...], code: int, closed: str, cluster: MLJobCluster, kubeconfig: Path
) -> None:
    cluster.put("digits", status=failed())
    cluster.put("busy", status=running())
    run = "import sys; from mljob.cli import main; main()"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", run, *arguments],
        capture_output=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_stdout_that_lacks_characters_gets_escapes(encoding: str, cluster: MLJobCluster, kubeconfig: Path) -> None:
    outputs = {"note": "Größe 日本 🚀", "日": "本"}
    cluster.put("digits", status=succeeded(outputs=outputs))
    environment = {"KUBECONFIG": str(kubeconfig), "PYTHONIOENCODING": encoding}
    for output, load in (("json", json.loads), ("yaml", yaml.safe_load)):
        told = program("list", "-o", output, **environment)
        assert (told.returncode, told.stderr) == (0, "")
        assert load(told.stdout)["items"][0]["status"]["outputs"] == outputs
    told = program("sweep", "train", "--name=x", "--grid=text=ja,日本", "--wait", "--timeout=0", **environment)
    assert told.returncode == 3, told.stderr
    assert "text=\\u65e5\\u672c" in told.stdout


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        ([], "wa", ["watch", "wait"]),
        (["list"], "--all", ["--all-namespaces"]),
        (["list", "-o"], "", ["json", "yaml", "name"]),
        (["list", "--phase"], "S", ["Suspended", "Succeeded"]),
        (["run", "train", "--type"], "T", ["Training"]),
        (["why"], "digits", ["digits-1", "digits-2"]),
        (["why", "-n", "team-b"], "", ["other"]),
        (["logs", "digits-1"], "f", ["fit"]),
        (["logs", "mljob/digits-1"], "f", ["fit"]),
        (["why"], "mlj/digits-1", ["mlj/digits-1"]),
        (["run"], "", ["train"]),
        (["list", "--context"], "", ["test"]),
    ],
)
def test_completion_answers_kubectl_with_candidates(
    words: list[str],
    incomplete: str,
    found: list[str],
    cluster: MLJobCluster,
    kubeconfig: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    for name in ("digits-1", "digits-2", "x\x1b"):
        cluster.put(name, status=failed())
    cluster.put("other", "team-b", status=running())
    *lines, directive = answer(words, incomplete)
    assert [line.split("\t")[0] for line in lines if line != "x"] == found
    assert directive == ":4"


@pytest.mark.parametrize(
    "words", [["lint"], ["run", "train", "--conf"], ["sweep", "train", "--conf"], ["list", "--kubeconfig"]]
)
@pytest.mark.parametrize("incomplete", ["", "conf/a"])
def test_shell_completes_the_paths_of_files(words: list[str], incomplete: str) -> None:
    assert answer(words, incomplete) == [":0"]


def test_completed_contexts_are_those_of_the_named_kubeconfig(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps({"contexts": [{"name": "named", "context": {}}]}))
    assert answer(["list", "--kubeconfig", str(file), "--context"], "") == ["named", ":4"]


def test_completion_without_a_cluster_has_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/no/such/file")
    assert answer(["why"], "") == [":4"]


class TestTerminal:
    @staticmethod
    def shown(kubeconfig: Path, *arguments: str, **environment: str) -> str:
        import pty

        code = "import sys; from mljob.cli import main; main()"
        main_end, other_end = pty.openpty()
        terminal = {"KUBECONFIG": str(kubeconfig), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        env = os.environ | terminal | environment
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=other_end, stdout=other_end, stderr=other_end, env=env
        )
        os.close(other_end)
        read = b""
        while True:
            try:
                chunk = os.read(main_end, 65536)
            except OSError:
                break
            if not chunk:
                break
            read += chunk
        os.close(main_end)
        assert process.wait(timeout=30) in (0, 1)
        return read.decode().replace("\r\n", "\n")

    def test_reason_is_below_its_line_and_nothing_is_wider(self, cluster: MLJobCluster, kubeconfig: Path) -> None:
        cluster.put("digits", status=failed(message="Task fit failed: " + "x" * 300))
        lines = self.shown(kubeconfig, "list", NO_COLOR="1").splitlines()
        assert lines[1].startswith(("digits", "\x1b[1mdigits"))
        assert lines[2].lstrip("\x1b[0m").startswith("  Task fit failed: xxx")
        assert "MESSAGE" not in lines[0]
        assert all(len(line) < 90 for line in lines)

    def test_colour_is_left_out_with_no_color(self, cluster: MLJobCluster, kubeconfig: Path) -> None:
        cluster.put("digits", status=failed())
        assert "\x1b[1;31m✘ Failed" in self.shown(kubeconfig, "list")
        plain = self.shown(kubeconfig, "list", NO_COLOR="1")
        assert "31m" not in plain
        assert "✘ Failed" in plain

    def test_watch_draws_in_place_and_leaves_the_last_state(self, cluster: MLJobCluster, kubeconfig: Path) -> None:
        tasks: list[dict[str, Any]] = [{"taskId": f"task-{number}", "state": "success"} for number in range(60)]
        tasks[7] = {"taskId": "task-7", "state": "failed", "error": {"message": "boom"}}
        cluster.put("digits", status=failed(tasks=tasks, currentTask="task-7"))
        text = self.shown(kubeconfig, "watch", "digits")
        assert "task-7" in text
        assert "boom" in text
        assert "more tasks" in text
        assert len(text.split("kubectl mljob why digits")[0].splitlines()) < 30

    def test_outputs_of_a_job_are_shown_in_full(self, cluster: MLJobCluster, kubeconfig: Path) -> None:
        cluster.put("digits", status=succeeded(outputs={"path": "/data/" + "x" * 60}))
        assert "/data/" + "x" * 60 in self.shown(kubeconfig, "watch", "digits")
