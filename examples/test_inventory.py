"""How an author tests a service: the inventory on a simulated cluster, against faults, in virtual time.

    pytest examples/test_inventory.py                      (the fixture comes with the package)
    pytest examples/test_inventory.py --primacy-runs=100   a hundred seeds

When a test has ended, its cluster is healed and checked: nothing that was acknowledged is lost or doubled, every answer
is that of a single copy, every replica has the same state, and the cluster is whole again.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from inventory import Inventory

from primacy.errors import OperationFailed
from primacy.sim import Cluster

ARTICLES = ("bolt", "nut", "washer")
Clusters = Callable[..., Cluster]


def test_what_is_taken_out_is_no_longer_there(primacy_cluster: Clusters) -> None:
    inventory = primacy_cluster([Inventory]).client().service("inventory")
    assert inventory.add(article="bolt", count=20) == 20
    assert inventory.take(article="bolt", count=5) == 15
    with pytest.raises(OperationFailed, match="15 of bolt in store, 16 asked for"):
        inventory.take(article="bolt", count=16)
    assert inventory.query.stock(article="bolt") == 15


@pytest.mark.parametrize("fault", ["crash", "power", "freeze", "kill_host"])
def test_nothing_is_lost_when_the_master_is(primacy_cluster: Clusters, fault: str) -> None:
    cluster = primacy_cluster([Inventory])
    inventory = cluster.client().service("inventory")
    inventory.add(article="bolt", count=3)
    former = cluster.master
    getattr(cluster, fault)("master")
    cluster.run_until(lambda: cluster.master != former)
    assert inventory.query.stock(article="bolt") == 3
    assert (
        cluster.object("inventory").term == cluster.term
    )  # its `failover` callback has run on the new primary


def test_a_delivery_is_booked_once_however_often_it_is_asked_for(primacy_cluster: Clusters) -> None:
    cluster = primacy_cluster([Inventory])
    first, second = (cluster.client().service("inventory") for _ in range(2))
    begun = [first.start.record(id="d1"), second.start.record(id="d1")]
    cluster.crash("master")
    assert sorted(each.result() for each in begun) == [False, True]


def test_a_refused_switchover_changes_nothing(primacy_cluster: Clusters) -> None:
    cluster = primacy_cluster([Inventory])
    inventory = cluster.client().service("inventory")
    former = cluster.master
    cluster.refuse_callbacks("inventory", "master", for_s=5)
    begun = inventory.start.add(article="nut", count=1)
    with pytest.raises(OperationFailed, match="take_over"):
        cluster.switchover()
    assert cluster.master == former
    assert begun.result() == 1


def test_who_watches_misses_nothing(primacy_cluster: Clusters) -> None:
    cluster = primacy_cluster([Inventory])
    client = cluster.client()
    inventory = client.service("inventory")
    inventory.add(article="nut", count=11)
    low = client.watch("inventory", "low/")
    for left in (9, 7, 5):
        inventory.take(article="nut", count=2)
        cluster.run_until(lambda: low.values[-1:] == [left])  # noqa: B023 (it is called here and now)
        cluster.switchover()
    assert low.values == [9, 7, 5]


def test_any_faults_at_all(primacy_cluster: Clusters) -> None:
    cluster = primacy_cluster([Inventory], nodes=3)
    draw = cluster.random
    shops = [cluster.client().service("inventory") for _ in range(3)]
    cluster.every(
        0.05, lambda: draw.choice(shops).start.add(article=draw.choice(ARTICLES), count=draw.randint(1, 9))
    )
    cluster.every(
        0.07, lambda: draw.choice(shops).start.take(article=draw.choice(ARTICLES), count=draw.randint(1, 9))
    )
    cluster.every(0.04, lambda: draw.choice(shops).start.query.stock(article=draw.choice(ARTICLES)))
    cluster.chaos(seconds=20)
    cluster.run(20)
