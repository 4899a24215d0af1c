"""One process that runs simulated clusters: jobs come in on standard input, results go out, a line each (jobs.py).

    python -m primacy.sim.worker [--mutant NAME] [--coverage]

What is planted or counted is put into the machines before any of them is imported, so it holds for this whole process
and for no other. An interrupt is for who has started it: it ends when its standard input does.
"""

from __future__ import annotations

import signal
import sys

from primacy.sim import loader, mutants
from primacy.sim.coverage import Probes
from primacy.sim.jobs import Edges, Hunt, Job, Replay, Report, Result, Run, decode_job, encode


def main(arguments: list[str]) -> int:
    """Take jobs until there are no more."""
    mutant = mutants.named(arguments[arguments.index("--mutant") + 1]) if "--mutant" in arguments else None
    probes = Probes() if "--coverage" in arguments else None
    loader.install(mutant.edits if mutant is not None else (), probes)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        result = perform(decode_job(line), mutant, probes)
        sys.stdout.buffer.write(encode(result) + b"\n")
        sys.stdout.buffer.flush()
    return 0


def perform(job: Job, mutant: mutants.Mutant | None, probes: Probes | None) -> Result:
    """Do one job."""
    from primacy.sim import command  # here: it imports the machines

    match job:
        case Run():
            return command.ran(job)
        case Replay():
            return command.told(job)
        case Hunt():
            assert mutant is not None and mutant.name == job.name
            return command.hunted(job, mutant)
        case Report():
            return Edges(*probes.report()) if probes is not None else Edges([], [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
