"""What `primacy sim` and its worker processes say to each other: one JSON object in each line.

A worker takes one job at a time and answers each with one result, in order. Plans travel as raw JSON, so that who
hands out the jobs need not import a machine: a worker may have to rewrite their source first.
"""

from __future__ import annotations

from typing import Union

import msgspec

NO_PLAN = msgspec.Raw(b"null")


class Run(msgspec.Struct, frozen=True, tag="run"):
    """Run the plan of a seed. nodes: 0 lets the seed decide; minutes: how long it lives, 0 for the usual 8 s.

    timeline: tell it.
    """

    seed: int
    nodes: int = 0
    minutes: float = 0.0
    faults: bool = True
    timeline: bool = False


class Replay(msgspec.Struct, frozen=True, tag="replay"):
    """Run a stored plan and tell it. reduce: look for a smaller plan that violates the same clause first."""

    plan: msgspec.Raw
    reduce: bool = False


class Hunt(msgspec.Struct, frozen=True, tag="hunt"):
    """Look for the bug that is planted in this worker, in at most so many runs; the first `after` are done."""

    name: str
    seed: int
    runs: int
    after: int = 0


class Report(msgspec.Struct, frozen=True, tag="report"):
    """Say which edges of the machines were taken in all runs so far."""


class Ran(msgspec.Struct, frozen=True, tag="ran"):
    """How a run ended. clause: what was violated, or nothing; plan: how to run it again, when it was."""

    seed: int
    clause: str
    text: str
    simulated_ns: int
    events: int
    operations: int
    terms: int
    waits: bool
    timeline: str = ""
    plan: msgspec.Raw = NO_PLAN


class Told(msgspec.Struct, frozen=True, tag="told"):
    """A run told in full. runs: how many were tried to make its plan smaller."""

    clause: str
    text: str
    faults: list[str]
    timeline: str
    runs: int
    plan: msgspec.Raw


class Hunted(msgspec.Struct, frozen=True, tag="hunted"):
    """What came of a hunt. why: why the mutant does not count, when it does not serve without faults."""

    name: str
    found: bool
    runs: int
    clause: str = ""
    text: str = ""
    why: str = ""
    plan: msgspec.Raw = NO_PLAN


class Edges(msgspec.Struct, frozen=True, tag="edges"):
    """Names of the edges of the machines, in the order of their source: those taken, and those never taken."""

    taken: list[str]
    never: list[str]


Job = Union[Run, Replay, Hunt, Report]  # noqa: UP007  (msgspec reads this at run time)
Result = Union[Ran, Told, Hunted, Edges]  # noqa: UP007

encode = msgspec.json.Encoder().encode
decode_job = msgspec.json.Decoder(Job).decode
decode_result = msgspec.json.Decoder(Result).decode
