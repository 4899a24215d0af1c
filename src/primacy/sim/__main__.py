"""`python -m primacy.sim`: run seeds, replay one, make a failing fault list shorter, hunt a planted bug.

    python -m primacy.sim --seed 7 --trace            one run, with its whole timeline
    python -m primacy.sim --seed 1000 --runs 500      many runs; the first that fails is shortened and told
    python -m primacy.sim --mutant no-seal --runs 300 until a planted bug is found
    python -m primacy.sim --replay run.json           a stored run

Exit status: 0 nothing violated (with --mutant: found), 1 violated (with --mutant: not found).
"""

from __future__ import annotations

import argparse
import sys

from primacy.sim import loader, mutants


def main(arguments: list[str]) -> int:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m primacy.sim", description="The cluster in virtual time.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--nodes", type=int, default=0, help="number of nodes (default: the seed decides)")
    parser.add_argument("--no-faults", action="store_true", help="let nothing go wrong")
    parser.add_argument(
        "--mutant", default="", help="plant a bug: " + ", ".join(m.name for m in mutants.MUTANTS)
    )
    parser.add_argument("--trace", action="store_true", help="tell every run's timeline")
    parser.add_argument("--replay", default="", help="a file with a stored run instead of seeds")
    parser.add_argument("--keep", action="store_true", help="do not shorten a failing fault list")
    options = parser.parse_args(arguments)
    mutant = mutants.named(options.mutant) if options.mutant else None
    if mutant is not None:
        loader.install(mutant.edits)
    from primacy.sim import command

    return command.execute(options, mutant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
