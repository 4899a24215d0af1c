"""Directed schedules: coincidences that are known to be dangerous, with a little chance in their times.

Each is drawn anew for each seed, and must be harmless to the cluster as it is; the mutants name those in
which they are looked for first. Times are for the `lan` profile (beat 50, lease 250, grace 300 ms), in a
cluster that has formed and is in step long before 2000 ms.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from primacy.sim.faults import Fault
from primacy.sim.plan import Plan, from_seed

HEAL_MS = 6_500


def claim_times_out(source: random.Random) -> list[Fault]:
    """The master is frozen and its own line is dead; the vice's claim is uncertain and late; then the master thaws."""
    frozen_ms = source.randint(380, 700)
    return [
        Fault(1990, "ledger", "master", what="partition", for_ms=4000),
        Fault(2000, "freeze", "master", what="node", for_ms=frozen_ms),
        Fault(2150, "ledger", "vice", what="late", for_ms=400),
    ]


def switchover_times_out(source: random.Random) -> list[Fault]:
    """The swap of a switchover is uncertain and late; the vice is silent for a while, or not."""
    faults = [
        Fault(2000, "switchover"),
        Fault(2000 + source.randint(0, 20), "ledger", "master", what="late", for_ms=source.randint(50, 400)),
    ]
    if source.random() < 0.5:
        faults.append(
            Fault(
                2000 + source.randint(0, 300), "freeze", "vice", what="agent", for_ms=source.randint(50, 900)
            )
        )
    return faults


def switchover_in_doubt(source: random.Random) -> list[Fault]:
    """The swap of a switchover is written and its answer is lost; the old master hears nothing of the new one."""
    return [
        Fault(1990, "watch", "master", for_ms=3000, amount=2500.0),
        Fault(2000, "switchover"),
        Fault(
            2000 + source.randint(4, 20), "ledger", "master", what="written", for_ms=source.randint(30, 80)
        ),
        Fault(2000 + source.randint(15, 45), "isolate", "n1", for_ms=source.randint(300, 900)),
    ]


def new_vice_in_doubt(source: random.Random) -> list[Fault]:
    """A vice returns and is made ready while the master's line is bad; then the two do not hear each other."""
    line_ms = 2000 + source.randint(10, 700)
    mode = source.choice(("deaf", "late", "written"))
    apart_ms = line_ms + source.randint(20, 900)
    return [
        Fault(2000, "crash", "vice", what="sent", for_ms=source.randint(10, 200)),
        Fault(line_ms, "ledger", "master", what=mode, for_ms=source.randint(300, 3000)),
        Fault(line_ms, "watch", "master", for_ms=3000, amount=2500.0),
        Fault(apart_ms, "isolate", "master", for_ms=source.randint(350, 1500)),
    ]


def stale_reader(source: random.Random) -> list[Fault]:
    """The primary stops in the middle of a turn; one client hears of no other, and goes on asking it."""
    return [
        Fault(1995, "client", "vice", peer=source.choice(("c1", "c2", "c3")), for_ms=2500),
        Fault(2000, "stop", "master", what="host:Evaluate", then="freeze", for_ms=source.randint(400, 900)),
    ]


def slow_echoes(source: random.Random) -> list[Fault]:
    """What the vice answers comes late, then the master's beats do not come at all."""
    return [
        Fault(2000, "delay", "vice", "master", for_ms=3000, amount=float(source.randint(100, 800))),
        Fault(2000 + source.randint(50, 900), "cut", "master", "vice", for_ms=source.randint(300, 1500)),
        Fault(2000, "ledger", "master", what="partition", for_ms=4000),
    ]


def beats_come_back(source: random.Random) -> list[Fault]:
    """Beats are lost for a grace; they come again just when the vice claims, and its claim takes long."""
    return [
        Fault(1990, "ledger", "master", what="partition", for_ms=4000),
        Fault(2000, "cut", "master", "vice", for_ms=source.randint(280, 380)),
        Fault(2150, "ledger", "vice", what=source.choice(("slow", "late", "uncertain")), for_ms=600),
    ]


def filtered(source: random.Random) -> list[Fault]:
    """Datagrams between master and vice are filtered: it is dropped, appointed again, joins, gives no lease."""
    return [Fault(2000, "filter", "master", "vice", for_ms=source.randint(1500, 4000))]


def alone_and_slow(source: random.Random) -> list[Fault]:
    """The vice is gone for long, and the disk of the master that goes on alone is slow; then that one dies, too."""
    return [
        Fault(1990, "disk", "master", for_ms=4000, amount=500.0),
        Fault(2000, "crash", "vice", what="sent", for_ms=3500),
        Fault(2000 + source.randint(100, 1500), "crash", "master", what="sent", for_ms=50),
    ]


def last_resort(source: random.Random) -> list[Fault]:
    """The vice is gone and dropped, then its master is silent; back again, the vice is asked to be master by force."""
    silent_ms = source.randint(2800, 3400)
    asked_ms = source.randint(3600, 4600)
    how, word = source.choice(("freeze", "isolate")), source.choice(("word", ""))
    return [
        Fault(2000, "power", "vice", for_ms=1500),
        Fault(silent_ms, how, "master", what="node", for_ms=source.randint(2500, 3500)),
        *(Fault(asked_ms, "force", node, what=word, for_ms=1800) for node in ("n1", "n2")),
    ]


def stale_news(source: random.Random) -> list[Fault]:
    """The second node is master and is vice again before it is pushed what the record was in between."""
    return [
        Fault(1900, "watch", "n2", for_ms=4000, amount=float(source.randint(1500, 3500))),
        Fault(2000, "crash", "master", what="sent", for_ms=source.randint(20, 80)),
        Fault(2000 + source.randint(1000, 1600), "switchover"),
    ]


def old_obituary(source: random.Random) -> list[Fault]:
    """The obituary of a master's former life arrives when its node is master again."""
    return [
        Fault(2000, "crash", "master", what="late", for_ms=30, amount=float(source.randint(1500, 3000))),
        Fault(2000 + source.randint(900, 1400), "switchover"),
    ]


def late_clients(source: random.Random) -> list[Fault]:
    """A client comes while the master is alone and is the first to write; by force that is lost; then another comes."""
    silent_ms = source.randint(2800, 3300)
    how, asked_ms = source.choice(("freeze", "isolate")), source.randint(3600, 4400)
    cut_off = [("c1", 0, 2300), ("c2", 0, asked_ms + 700), ("c3", 1000, 6000)]
    return [
        *(
            Fault(at, "client", node, peer=c, for_ms=to - at)
            for c, at, to in cut_off
            for node in ("n1", "n2")
        ),
        Fault(2000, "power", "vice", for_ms=1500),
        Fault(silent_ms, how, "master", what="node", for_ms=3000),
        Fault(asked_ms, "force", "n2", what="word", for_ms=1500),
    ]


def refused_at_last(source: random.Random) -> list[Fault]:
    """A function is asked for; from somewhere in its levels on, every callback refuses for a moment."""
    verb, who = source.choice((("switchover", ""), ("demote", "n2"), ("disqualify", "n2"), ("remove", "n2")))
    where = "n1" if verb == "switchover" else "n2"
    refuse_ms = 2000 + source.randint(5, 60)
    return [
        Fault(2000, "ask", "n1", who, what=verb, for_ms=3000),
        Fault(refuse_ms, "mood", where, "logbook", what="refuse", for_ms=source.randint(2, 15)),
    ]


def two_operators(source: random.Random) -> list[Fault]:
    """Two operators ask two nodes for two functions at nearly one time."""
    asked = source.sample((("n1", "", "switchover"), ("n2", "n2", "demote"), ("n1", "n2", "disqualify")), 2)
    times = (2000, 2000 + source.randint(1, 40))
    return [
        Fault(at_ms, "ask", at, who, what=verb, for_ms=3000)
        for at_ms, (at, who, verb) in zip(times, asked, strict=True)
    ]


def former_levels(source: random.Random) -> list[Fault]:
    """A node comes back and one of its hosts dies; meanwhile its master begins anew, with slow callbacks."""
    back_ms = source.randint(100, 200)
    killed_ms = 2000 + back_ms + source.randint(3, 12)
    return [
        Fault(2000, "power", "n2", for_ms=back_ms),
        Fault(2000 + back_ms, "mood", "n1", "logbook", what="late", for_ms=3500),
        *(Fault(killed_ms + 10 * n, "kill", "n2", what="naming") for n in range(source.randint(1, 4))),
        Fault(killed_ms + source.randint(20, 100), "crash", "n1", what="sent", for_ms=10),
    ]


def mirror_goes_on(source: random.Random) -> list[Fault]:
    """Datagrams of master and vice are filtered: the vice claims, slowly; what the mirror ships still arrives."""
    return [
        Fault(1990, "ledger", "master", what="partition", for_ms=4000),
        Fault(2000, "filter", "master", "vice", for_ms=source.randint(500, 1500)),
        Fault(2150, "ledger", "vice", what=source.choice(("slow", "late", "uncertain")), for_ms=900),
    ]


def slow_mirror(source: random.Random) -> list[Fault]:
    """A vice returns, what the master ships to it is late, and then the master is gone."""
    back_ms = source.randint(20, 200)
    gone_ms = 2000 + back_ms + source.randint(300, 2500)
    how, what = source.choice((("crash", "sent"), ("power", "")))
    late_ms = float(source.randint(200, 900))
    return [
        Fault(2000, "crash", "vice", what="sent", for_ms=back_ms),
        *(Fault(2000 + back_ms, "delay", "master", to, for_ms=3000, amount=late_ms) for to in ("n1", "n2")),
        Fault(gone_ms, how, "master", what=what, for_ms=3000),
    ]


def late_mirror(source: random.Random) -> list[Fault]:
    """What the master sends to its vice is late, and then the master dies."""
    return [
        Fault(2000, "delay", "master", "vice", for_ms=3000, amount=float(source.randint(150, 600))),
        Fault(2000 + source.randint(200, 1500), "crash", "master", what="sent", for_ms=1500),
    ]


def stops_at_the_page(source: random.Random) -> list[Fault]:
    """A vice returns; the master stops right before it writes its lease page the next time."""
    back_ms = source.randint(20, 600)
    armed_ms = 2000 + back_ms + source.randint(-10, 60)
    return [
        Fault(2000, "crash", "vice", what="sent", for_ms=back_ms),
        Fault(
            armed_ms, "stop", "master", what="agent:Grant", then="freeze", for_ms=source.randint(400, 1200)
        ),
    ]


def power_fails(source: random.Random) -> list[Fault]:
    """The disk of one of the two is slow; both lose their power, and that one is back long before the other."""
    first, last = source.choice((("master", "vice"), ("vice", "master")))
    off_ms = 2000 + source.randint(20, 400)
    return [
        Fault(1990, "disk", first, for_ms=500, amount=float(source.choice((10, 50, 200)))),
        Fault(off_ms, "power", first, for_ms=source.randint(20, 300)),
        Fault(off_ms + source.randint(0, 20), "power", last, for_ms=4200),
    ]


def late_append(source: random.Random) -> list[Fault]:
    """What a master ships last is very late; meanwhile it dies, comes back and is master again, and nobody writes."""
    died_ms = 2000 + source.randint(40, 120)
    return [
        Fault(
            2000, "delay", "master", "vice", for_ms=died_ms - 2010, amount=float(source.randint(1500, 3500))
        ),
        *(Fault(died_ms - 10, "clients", node, for_ms=2600) for node in ("n1", "n2")),
        Fault(died_ms, "crash", "master", what="sent", for_ms=20),
        *(Fault(died_ms + after_ms, "switchover") for after_ms in (450, 600)),
        Fault(died_ms + 3500, "crash", "master", what="sent", for_ms=2000),
    ]


def new_times(source: random.Random) -> list[Fault]:
    """Shorter times; the master hears of them late, or hears nothing of its vice when they come or right after."""
    faults = [Fault(2000, "configure", "n1", what="slower", amount=source.choice((0.5, 0.6)))]
    if source.random() < 0.4:
        faults.append(Fault(1990, "watch", "master", for_ms=3000, amount=2500.0))
    else:
        apart_ms = 2000 + source.randint(-80, 80)
        how = source.choice(("isolate", "unlink"))
        faults.append(Fault(apart_ms, how, "master", for_ms=source.randint(300, 900)))
    return faults


def change_and_death(source: random.Random) -> list[Fault]:
    """A change begins, and the master dies before it has marked how far it is."""
    died_ms, line_ms = 2000 + source.randint(3, 30), 2000 + source.randint(0, 8)
    return [
        Fault(2000, "configure", "n2", what=source.choice(("slower", "options")), amount=1.5),
        Fault(line_ms, "ledger", "master", what=source.choice(("written", "slow")), for_ms=100),
        Fault(died_ms, "crash", "master", what="sent", for_ms=source.randint(50, 500)),
    ]


def two_changes(source: random.Random) -> list[Fault]:
    """Two operators alter the table at nearly one time; one of them wants it in any case."""
    then = source.choice(("replace", ""))
    return [
        Fault(2000, "configure", "n1", "logbook", "alter", amount=9.0),
        Fault(2000 + source.randint(1, 300), "configure", "n2", what="options", then=then),
    ]


def damaged_alone(source: random.Random) -> list[Fault]:
    """The master goes on alone, and its journal is damaged or deleted before its next life."""
    alone_ms, damaged_ms = source.randint(1_200, 2_000), source.randint(3_000, 4_000)
    return [
        Fault(alone_ms, "power", "vice", for_ms=4_000),
        Fault(damaged_ms, "damage", "master", "logbook", what=source.choice(("journal", "deleted"))),
        Fault(damaged_ms + source.randint(0, 300), "crash", "master", what="sent", for_ms=100),
    ]


SCENARIOS: dict[str, Callable[[random.Random], list[Fault]]] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        claim_times_out,
        switchover_times_out,
        switchover_in_doubt,
        new_vice_in_doubt,
        stale_reader,
        slow_echoes,
        beats_come_back,
        filtered,
        alone_and_slow,
        last_resort,
        stale_news,
        late_clients,
        old_obituary,
        refused_at_last,
        two_operators,
        former_levels,
        mirror_goes_on,
        slow_mirror,
        late_mirror,
        stops_at_the_page,
        power_fails,
        late_append,
        new_times,
        change_and_death,
        two_changes,
        damaged_alone,
    )
}


def plan(name: str, seed: int) -> Plan:
    """Return one drawing of a scenario: two nodes, all else as the seed says."""
    source = random.Random(f"scenario {name} {seed}")
    faults = tuple(sorted(SCENARIOS[name](source), key=lambda fault: fault.at_ms))
    drawn = from_seed(seed, nodes=2, faults=False)
    reads = 0.9 if name == "stale-reader" else 0.3
    rates = tuple(1_000_000 + source.randint(0, 45_000) for _ in drawn.ids)
    return msgspec.structs.replace(
        drawn,
        profile="lan",
        durability="disk",
        rates_ppm=rates,
        clients=3,
        reads=reads,
        heal_ms=HEAL_MS,
        faults=faults,
    )
