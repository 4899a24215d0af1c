"""`primacy explain` and `primacy what-if` without a cluster: files that are decided again, and how answers read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.cli.main import main
from primacy.cli.why import decisions_in, foreseen_lines
from primacy.errors import ConfigError
from primacy.machines import rulings
from primacy.machines.deciding import decided
from primacy.machines.events import Stamped
from primacy.machines.events_node import NodeStarted

VIEW = rulings.ReadyView("n2", True, True)
EVENTS = [
    json.loads(
        msgspec.json.encode(Stamped(node="n1", incarnation="a", number=n, wall_ns=n, event=event).plain())
    )
    for n, event in enumerate(
        [NodeStarted(node="n1", incarnation="a"), decided("ready", 1, "n1", VIEW, rulings.ready(VIEW))], 1
    )
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"term": 1, "events": EVENTS}),
        json.dumps({"term": 1, "events": EVENTS}, indent=2),
        json.dumps(EVENTS),
        "\n".join(json.dumps(e) for e in EVENTS),
        "\n".join(json.dumps(e) for e in EVENTS) + '\n{"node": "n1", "num',
        json.dumps(EVENTS[1]),
    ],
    ids=["explanation", "indented", "list", "lines", "cut off", "one event"],
)
def test_what_explain_and_events_print_is_decided_again(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept"
    file.write_text(text)
    assert [d.rule for d in decisions_in(file)] == ["ready"]
    assert main(["explain", "--replay", str(file)]) == 0
    assert "decides the same again, to make its vice ready" in capsys.readouterr().out


def test_a_decision_that_differs_is_told_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept"
    file.write_text(json.dumps(EVENTS).replace('"lease_held": true', '"lease_held": false'))
    assert main(["explain", "--replay", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["same"]
    assert told["decisions"][0]["now"]["type"] == "NotYet"


@pytest.mark.parametrize("text", ["", "{}", "[1, 2]", "nothing", json.dumps(EVENTS[:1]), "[" * 100_000])
def test_a_file_without_a_decision_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "kept"
    file.write_text(text)
    with pytest.raises(ConfigError, match="explain --json"):
        decisions_in(file)
    assert main(["explain", "--replay", str(file)]) == 78


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        decisions_in(tmp_path / "none")


@pytest.mark.parametrize("words", [["explain", "3", "--replay", "x"], ["what-if"]])
def test_wrong_usage(words: list[str]) -> None:
    assert main(words) == 2


@pytest.mark.parametrize(("possible", "text"), [(True, "n2: takes over"), (False, "n2: nothing against it")])
def test_an_answer_reads_as_lines(possible: bool, text: str) -> None:
    found: dict[str, Any] = {
        "question": "lose n1",
        "possible": possible,
        "then": ["first", "second"],
        "reasons": ["so it is"],
        "candidates": {"n2": [], "n3": ["a", "b"]},
    }
    lines = foreseen_lines(found)
    assert lines[0].startswith("lose n1: ")
    assert lines[1:4] == ["  1. first", "  2. second", "  - so it is"]
    assert lines[4].strip() == text
    assert lines[5] == "  n3: a; b"
