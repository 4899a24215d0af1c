"""Planted bugs in who may claim without being asked: formation, force, former lives and obituaries."""

from __future__ import annotations

from primacy.sim.loader import Edit
from primacy.sim.planted.mutant import FORMATION, MACHINES, MASTERSHIP, RECORDS, Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "vice-forms-at-once",
        "4.4, wait of a restarted vice",
        "B1 acknowledges a beat, restarts as B2 and forms; A1 gets the acknowledgement: two primaries",
        (Edit(FORMATION, "if assumed_dead or view.since_start_ns >= view.grace_ns:", "if True:"),),
    ),
    Mutant(
        "memory-in-step",
        "4.4, memory never in step",
        "w1 is acknowledged in both memories; A1 dies, A2 forms before B1 claims: lost write",
        (Edit(FORMATION, "    if view.volatile:\n", "    if False:\n"),),
        {"durability": "memory"},
    ),
    Mutant(
        "formation-by-a-node-that-was-not-in-step",
        "4.4, who was in step",
        "any eligible node forms the cluster when nobody else is heard: lost write",
        (
            Edit(
                FORMATION,
                '    return Wait(f"only {in_step} is complete: waiting for it, or for the operator\'s force")\n',
                '    return Form("formation by a node that is there")\n',
            ),
        ),
    ),
    Mutant(
        "journal-set-aside-taken-for-complete",
        "section 6, a journal that was set aside only joins",
        "A1's journal is damaged, an empty one takes its place; A2 forms and serves without what was there: lost write",
        (
            Edit(
                MASTERSHIP,
                "event.positions or self.positions if event.complete else None\n",
                "event.positions or self.positions\n",
            ),
            Edit("primacy.sim.host_disk", "    if host.incomplete:\n", "    if False:\n"),
        ),
        {"durability": "disk"},
        scenario="damaged-alone",
    ),
    Mutant(
        "availability-without-proof",
        "R9, availability rests on proof",
        "a node that does not hear the master forms the cluster for the sake of availability: two primaries",
        (Edit(FORMATION, "    if view.availability and assumed_dead:\n", "    if view.availability:\n"),),
        {"availability": True},
    ),
    Mutant(
        "incarnation-ignored",
        "R8",
        "a restarted node acts on the rights of its former incarnation: two primaries, lost write",
        (
            Edit(
                RECORDS,
                "return self.master == member\n",
                "return self.master.node == member.node\n",
            ),
        ),
    ),
    Mutant(
        "obituary-of-an-older-incarnation-believed",
        "obituary",
        "an obituary of an older incarnation is believed: two primaries",
        (
            Edit(
                MASTERSHIP,
                "        if member.incarnation not in self.dead:\n",
                "        if self.record is not None and member.node == self.record.master.node:\n"
                "            member = self.record.master\n"
                "        if member.incarnation not in self.dead:\n",
            ),
        ),
        scenario="old-obituary",
    ),
    Mutant(
        "force-unproven",
        "R9, proof",
        "B2 is made master by force although nothing proves that A1 is dead and nobody said so: two primaries",
        (
            Edit(
                f"{MACHINES}.last_resort",
                '    return WORD if view.assume_dead == master.node else ""\n',
                "    return WORD\n",
            ),
        ),
        scenario="last-resort",
    ),
)
