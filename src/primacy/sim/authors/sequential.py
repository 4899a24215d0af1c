"""The author's class as the sequential copy that a history is compared with, where the log is not to be trusted.

    finding = check(cluster.history("inventory", key=lambda call: call["article"]), Sequential(Inventory))

The state of a key is a snapshot of the service. Operations that use `ctx` cannot be compared so (a search does not know
which time and sequence a call got): `Cluster.check` judges these by the log.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import msgspec

from primacy.machines.call_wire import Call
from primacy.machines.replica import Replica
from primacy.service import Service, ServiceModel

_decode = msgspec.msgpack.Decoder().decode


class Sequential:
    """A model (`primacy.sim.linearizability.Model`) that executes the service itself.

    argument: the packed arguments; a name in the service's queries is a query; the result is (outcome, decoded
    payload).
    """

    def __init__(self, service: type[Service[Any]]) -> None:
        self._make = service
        self._model = ServiceModel(service())
        self.initial: Hashable = service().snapshot()

    def apply(self, state: Hashable, operation: str, argument: Any) -> tuple[Hashable, Any]:
        """Return the state after the operation, and its result."""
        assert isinstance(state, bytes)
        model = self._model
        model.service = self._make()
        model.restore(state)
        if operation in model.description.queries:
            outcome, payload = model.answer(operation, argument)
        else:
            replica = Replica(self._make.__name__, model)
            replica.turn(1, 0, 0)
            reply = replica.execute(Call(0, 0, 0, operation, argument), model.prepare(operation, argument))
            assert reply is not None
            outcome, payload = reply
            state = model.snapshot()
        return state, (outcome, _decode(payload))
