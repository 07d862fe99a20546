from __future__ import annotations

import pytest

from devstack import progress, terminal


def test_text_with_brackets_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.show("  Running [######......] 50% :smile: /logs/[kafka]")
    assert capsys.readouterr().out == "  Running [######......] 50% :smile: /logs/[kafka]\n"


def test_progress_goes_to_standard_error_in_a_whole_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_print", terminal.show_progress)
    progress.say(f"  kafka  starting {'x' * 300}")
    assert capsys.readouterr().err == f"  kafka  starting {'x' * 300}\n"
