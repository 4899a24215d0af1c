"""What a program imports to use the services of a cluster: `connect` and its blocking twin `connect_sync`.

    async with primacy.connect() as cluster:
        inventory = cluster.service("inventory")
        await inventory.add(article="bolt", count=3)          # an operation: replicated, exactly once
        await inventory.query.stock(article="bolt")           # a linearizable read
        await cluster.names.bind("shop/till/1", endpoint="10.0.0.7:8100", lifetime="session")

The parts:

    settings      which cluster, where, with which credential
    kept          a stream that is dialed anew whenever it has ended
    agents        the streams to the agents: topology, operator's functions
    conversation  the streams to one service's hosts, driven by `primacy.machines.client_session`
    cluster       `Cluster`, which holds them together
    handles       what a user calls: `inventory.add(...)`, `inventory.query.stock(...)`
    names         the naming service, in its own words
    blocking      the twin for programs without a loop

Never in here: a decision about who is primary.  Hosts tell; the client believes the highest term.
"""

from primacy.client.blocking import connect_sync
from primacy.client.cluster import Cluster, connect
from primacy.client.conversation import CallRecord
from primacy.client.handles import Service
from primacy.client.names import NameEntry, Names

__all__ = ["CallRecord", "Cluster", "NameEntry", "Names", "Service", "connect", "connect_sync"]
