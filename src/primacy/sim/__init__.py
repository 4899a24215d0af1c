"""The whole cluster in one thread, on virtual time, from one seed: what the claims of safety rest on.

The machines of `primacy.machines` run here as they run in production; around them are models of what
production gives them: clocks with rates of their own, a network with two links, disks that lose what is not
synced, processes that freeze and die between any two instructions, a ledger whose answers may be lost. Faults
are a list drawn from the seed, so that a failure can be replayed, and shortened. `checkers.py` says what must
be true after every step, `world.py` what must be true in the end, and `mutants.py` holds a planted bug for
every clause of the protocol: a checker that finds none of them would be worth nothing.

Start with `python -m primacy.sim --seed 1 --trace`; then read world.py, node.py, agent.py, host.py.
"""
