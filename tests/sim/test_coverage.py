"""Coverage of the machines: each way out of a decision is an edge; what no run takes is listed, with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from primacy.sim.coverage import MACHINES, OTHERS, Probes, edges_of, percent, unreached, why
from primacy.sim.jobs import Edges, Report, Run, decode_result, encode

SOURCE = Path(__file__).parents[2] / "src"
FOLDER = SOURCE / "primacy" / "machines"
SOAK_RUNS = 3_000
SHORT_RUNS, SHORT_PERCENT = 40, 70.0
PERCENT = 96.0

TEXT = '''
"""A module."""

LIMIT = 3 if True else 4


class Machine:
    """A class."""

    def step(self, event):
        """Take an input."""
        if event is None:
            return "nothing"
        elif event == 1:
            return "one"
        match event:
            case int(n) if n > LIMIT:
                out = "much"
            case str():
                out = "a word"
        for _ in range(event if isinstance(event, int) else 0):
            out = "some"
        return out

    def idle(self):
        try:
            while True:
                return None
        except ValueError:
            return 1
'''
NAMES = [
    "toy.Machine.step: entered",
    "toy.Machine.step: if event is None",
    "toy.Machine.step: if event == 1",
    "toy.Machine.step: if not event == 1",
    "toy.Machine.step: case int(n) if n > LIMIT",
    "toy.Machine.step: case str()",
    "toy.Machine.step: no case of event",
    "toy.Machine.step: for _ in range(event if isinstance(event, int) else 0)",
    "toy.Machine.step: when isinstance(event, int)",
    "toy.Machine.step: when not isinstance(event, int)",
    "toy.Machine.idle: entered",
    "toy.Machine.idle: while True",
    "toy.Machine.idle: except ValueError",
]


def test_each_way_out_of_a_decision_is_an_edge() -> None:
    assert edges_of("toy", TEXT) == NAMES


def test_taken_edges_are_counted_and_nothing_else_changes() -> None:
    probes = Probes()
    code = compile(probes.instrument("primacy.machines.toy", TEXT), "toy", "exec")
    names = probes.namespace("primacy.machines.toy")
    exec(code, names)
    machine = names["Machine"]()  # type: ignore[operator]
    assert probes.report() == ([], NAMES)
    assert [machine.step(None), machine.step(1), machine.step(5)] == ["nothing", "one", "some"]
    assert machine.step("x") == "a word"
    assert machine.step.__doc__ == "Take an input."
    taken, never = probes.report()
    assert set(never) == {NAMES[6], *NAMES[10:]}
    assert taken == [name for name in NAMES if name not in never]


def test_two_edges_never_have_one_name() -> None:
    text = "def f(a):\n    if a:\n        return 1\n    if a:\n        return 2\n"
    assert edges_of("m", text) == [
        "m.f: entered", "m.f: if a", "m.f: if not a", "m.f: if a (2)", "m.f: if not a (2)",
    ]  # fmt: skip


def test_what_the_type_checker_proves_is_no_edge() -> None:
    text = "def f(a):\n    match a:\n        case int():\n            return 1\n        case _:\n            {}\n"
    assert edges_of("m", text.format("assert_never(a)")) == ["m.f: entered", "m.f: case int()"]
    assert edges_of("m", text.format("pass")) == ["m.f: entered", "m.f: case int()", "m.f: case _"]


def test_every_machine_takes_part_or_has_a_reason() -> None:
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert set(MACHINES) <= modules <= set(MACHINES) | set(OTHERS)
    assert not set(MACHINES) & set(OTHERS)


def test_what_no_run_takes_is_still_there() -> None:
    every = [edge for name in MACHINES for edge in edges_of(name, (FOLDER / f"{name}.py").read_text())]
    assert len(every) == len(set(every))
    for name, each in unreached().items():
        assert each.reason, name
        assert any(why(edge, {name: each}) for edge in every), f"the code has no {name} any more"


def covered(seed: int, runs: int) -> Edges:
    """Run so many seeds in one process; return the edges."""
    jobs = [*(Run(number) for number in range(seed, seed + runs)), Report()]
    done = subprocess.run(
        [sys.executable, "-m", "primacy.sim.worker", "--coverage"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        input=b"".join(encode(job) + b"\n" for job in jobs),
        capture_output=True,
        check=True,
    )
    edges = decode_result(done.stdout.splitlines()[-1])
    assert isinstance(edges, Edges)
    return edges


def unexplained(edges: Edges) -> list[str]:
    """The edges that were not taken and of which nothing is known."""
    known = unreached()
    return [edge for edge in edges.never if why(edge, known) is None]


def test_what_a_run_may_take_counts_as_missing_and_what_no_run_takes_does_not() -> None:
    known = unreached()
    never = next(name for name, each in known.items() if not each.rare)
    rare = next(name for name, each in known.items() if each.rare)
    assert percent(3, [never]) == 100
    assert percent(3, [never, rare]) == percent(3, ["toy.Machine.step: entered"]) == 75


def test_a_few_runs_take_most_edges(seed: int) -> None:
    edges = covered(seed, SHORT_RUNS)
    reached = percent(len(edges.taken), edges.never)
    assert reached >= SHORT_PERCENT, f"seed {seed}: {reached}"


@pytest.mark.soak
def test_many_runs_take_nearly_all_edges(seed: int) -> None:
    edges, known = covered(seed, SOAK_RUNS), unreached()
    taken = [name for name, each in known.items() if not each.rare and name in edges.taken]
    assert not taken, f"seed {seed}: they were taken after all, so take them out of unreached.toml: {taken}"
    reached = percent(len(edges.taken), edges.never)
    assert reached >= PERCENT, "\n".join([f"seed {seed}: {reached}", *unexplained(edges)])
