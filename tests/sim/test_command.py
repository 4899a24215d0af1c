"""`primacy sim`: what it says does not depend on the number of processes; what fails is stored and replayed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.cli import common, sim_show
from primacy.cli.main import main
from primacy.cli.sim import _failed
from primacy.cli.sim_pool import Tally
from primacy.sim.command import plan_of, reduced
from primacy.sim.jobs import Edges, Hunted, Ran
from primacy.sim.plan import Plan
from primacy.sim.world import run

SOURCE = Path(__file__).parents[2] / "src"
TIMES = ("took_s", "rate", "jobs")


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    """Run the command; return its exit code and the JSON value that it printed."""
    code = main(["sim", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_result_does_not_depend_on_the_number_of_processes(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for jobs in ("1", "3"):
        code, plain = printed(capsys, "--seed", str(seed), "--seeds", "9", "--jobs", jobs)
        assert code == common.OK
        assert plain["runs"] == 9
        assert plain["simulated_s"] > 9 * 8
        assert plain["coverage"]["taken"] > plain["coverage"]["edges"] // 2
        found.append({key: value for key, value in plain.items() if key not in TIMES})
    assert found[0] == found[1]


def test_nodes_minutes_and_faults_are_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--seed",
        "5",
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--nodes",
        "9",
        "--minutes",
        "0.5",
        "--no-coverage",
    )
    code, plain = printed(capsys, *words, "--no-faults")
    assert code == common.OK
    assert plain["simulated_s"] > 30
    assert (plain["terms"], plain["coverage"]) == (1, None)


def test_a_failing_run_is_stored_told_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(3)
    raw = msgspec.Raw(msgspec.json.encode(plan))
    found = _failed(Ran(3, "S1", "two", 0, 0, 0, 0, False, plan=raw), tmp_path, True, False)
    out = capsys.readouterr().out
    path = Path(found["file"])
    assert path == tmp_path / "primacy-sim-3.json"
    assert f"primacy sim --replay {path}" in out
    assert plan.faults[0].sentence() in out
    assert msgspec.json.decode(path.read_bytes(), type=Plan) == plan
    code, plain = printed(capsys, "--replay", str(path))
    assert (code, plain["clause"]) == (common.OK, "")
    assert plain["faults"] == found["faults"]


def test_a_planted_bug_is_replayed_with_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "claim-by-a-vice-that-is-not-ready"
    plan = tmp_path / "plan.json"
    plan.write_bytes(msgspec.json.encode(plan_of(0, faults=False)))
    code, plain = printed(capsys, "--mutants", name, "--replay", str(plan))
    assert (code, plain["clause"]) == (common.OK, "")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["no-seal"], common.USAGE),
        (["--mutants", "unheard-of"], common.USAGE),
        (["--mutants", "--replay", "x.json"], common.USAGE),
        (["--nodes", "1"], common.USAGE),
        (["--replay", "not-there.json"], common.CONFIGURATION),
        (["--replay", __file__], common.CONFIGURATION),
    ],
)
def test_wrong_words_are_refused(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", *words]) == code
    assert capsys.readouterr().err


def test_an_interrupt_ends_with_what_was_found(tmp_path: Path) -> None:
    words = ["--seeds", "100000", "--jobs", "1", "--no-coverage", "--store", str(tmp_path)]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from primacy.cli.main import main; raise SystemExit(main(['sim', *{words!r}]))",
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()  # its first progress
    assert line.startswith("runs: "), line
    began_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == common.INTERRUPTED
    assert "(interrupted): nothing was violated" in out
    assert time.monotonic() - began_s < 20


# ---- what is counted ----


def ran(seed: int, clause: str = "") -> Ran:
    return Ran(seed, clause, clause and f"{clause} violated", 10**9, 5, 2, 1, False)


def test_what_ran_behind_the_first_failure_is_left_out() -> None:
    tally = Tally({each.seed: each for each in (ran(4), ran(2, "S1"), ran(1), ran(3, "S3"))})
    assert tally.failure == ran(2, "S1")
    assert [each.seed for each in tally.counted()] == [1, 2]
    assert sim_show.figures(tally, 4.0)["rate"] == 0.5


def test_edges_of_several_processes_are_joined() -> None:
    tally = Tally()
    tally.add(Edges(["a"], ["b", "c"]))
    tally.add(Edges(["b"], ["a", "c"]))
    assert tally.edges == Edges(["a", "b"], ["c"])


def test_the_summary_says_what_was_never_taken() -> None:
    covered = sim_show.coverage(Edges(["a"], ["b"]))
    assert covered == {"edges": 2, "taken": 1, "percent_of_reachable": 50.0, "never": {"b": ""}}
    found: dict[str, Any] = {
        "seed": 1,
        "violated": None,
        "jobs": 1,
        "interrupted": False,
        "coverage": covered,
    }
    lines = sim_show.summary(found | sim_show.figures(Tally({1: ran(1)}), 2.0))
    assert lines[0] == "1 runs from seed 1: nothing was violated"
    assert lines[-1] == "  never taken: b"


def test_hunts_are_told_in_the_order_of_their_names() -> None:
    found = [
        Hunted("b", True, 7, "S1", "S1 violated"),
        Hunted("a", True, 2, "S3", "S3"),
        Hunted("c", False, 9),
    ]
    plain = sim_show.hunts(found, ["a", "b", "c"])
    assert [(row["name"], row["found"], row["runs"]) for row in plain["mutants"]] == [
        ("a", True, 2), ("b", True, 7), ("c", False, 9),
    ]  # fmt: skip
    assert plain["median_runs"] == 4.5
    assert "NOT FOUND" in sim_show.hunted(found[2])
    assert "does not count" in sim_show.hunted(Hunted("d", False, 0, why="seed 1"))


def test_a_run_that_does_not_fail_is_not_reduced() -> None:
    outcome = run(plan_of(1, nodes=2, faults=False))
    assert outcome.violation is None
    with pytest.raises(AssertionError):
        reduced(outcome)
