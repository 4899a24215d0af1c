"""The naming service: hierarchical names bound to endpoints and attributes, one truth for the whole cluster.

It is written with nothing but the public interface of a service, and may be read as an example of one: the
state is a Struct, operations check first and change then, one timer ends what belongs to nobody any more.
Its rules are in `primacy.machines.naming`.

A binding with lifetime `session` ends after `SILENCE_S` without a sign of life of the client that bound it
(counted anew when another primary takes over, so that an outage of ours ends nobody's names), and at once
when that client closes in order.  One with lifetime `node:ID` ends when the node has left the membership.

Each change is published under its name; the event is a `Change`.  Who lists and watches from the beginning
asks for the watch first, and drops the changes whose version is at most that of the listing: so none is
missed and none seen twice.
"""

from __future__ import annotations

from primacy import service
from primacy.errors import InvalidName, NameExists, NameNotFound, Refused
from primacy.machines import naming
from primacy.machines.naming import SESSION, Bindings, Change, Entry, Listed, Page

SILENCE_S = 10.0
NODE_ABSENT_S = 3
"""A node that is no member for so long has left; at a take-over the members come together in a moment."""
NAMED_MAX = 5
"""How many names a refusal tells."""


class Naming(service.Service[Bindings]):
    """Names of the cluster, bound to endpoints and attributes."""

    def __init__(self) -> None:
        self._absent_s: dict[str, int] = {}  # of nodes that own bindings; only on the primary

    # ---- operations ----

    @service.operation
    def bind(
        self,
        ctx: service.OperationContext,
        name: str,
        endpoint: str,
        attributes: dict[str, str] = {},  # noqa: B006 (never changed)
        lifetime: str | None = None,
    ) -> int:
        """Bind a name that is not bound (else `NameExists`); return the binding's version."""
        return self._put(ctx, [Entry(name, endpoint, attributes, lifetime)], replace=False)

    @service.operation
    def rebind(
        self,
        ctx: service.OperationContext,
        name: str,
        endpoint: str,
        attributes: dict[str, str] = {},  # noqa: B006
        lifetime: str | None = None,
    ) -> int:
        """Bind a name, whatever it is bound to; return the binding's version."""
        return self._put(ctx, [Entry(name, endpoint, attributes, lifetime)], replace=True)

    @service.operation
    def bind_many(self, ctx: service.OperationContext, entries: list[Entry], replace: bool = False) -> int:
        """Bind all of these names or none; return the bindings' version."""
        return self._put(ctx, entries, replace=replace)

    @service.operation
    def unbind(self, ctx: service.OperationContext, name: str) -> int:
        """Unbind a name that is bound (else `NameNotFound`); return the version of the change."""
        change = naming.remove(self.state, name, ctx.sequence)
        if change is None:
            raise NameNotFound(f"name {name!r} is not bound")
        _publish(ctx, [change])
        return change.version

    @service.operation
    def release(self, ctx: service.OperationContext) -> int:
        """Unbind what the calling session owns; return how many names that were."""
        owner = naming.session_owner(ctx.session)
        changes = naming.remove_owned(self.state, [owner], ctx.sequence, ctx.sequence)
        _publish(ctx, changes)
        return len(changes)

    @service.operation
    def end_owners(
        self, ctx: service.OperationContext, sessions: list[int], nodes: list[str], upto: int
    ) -> list[str]:
        """Unbind what these sessions and nodes owned at version `upto`; return the names."""
        owners = [naming.session_owner(session) for session in sessions]
        owners += [naming.node_owner(node) for node in nodes]
        changes = naming.remove_owned(self.state, owners, ctx.sequence, upto)
        _publish(ctx, changes)
        return [change.name for change in changes]

    # ---- queries ----

    @service.query
    def resolve(self, name: str) -> Listed:
        """Return what a name is bound to; `NameNotFound` when it is not."""
        binding = self.state.bindings.get(name)
        if binding is None:
            raise NameNotFound(f"name {name!r} is not bound")
        return Listed(
            name, binding.endpoint, binding.attributes, binding.lifetime, binding.version, directory=False
        )

    @service.query
    def listing(self, prefix: str = "", recursive: bool = False, after: str = "") -> Page:
        """Return a page of what is bound below a prefix."""
        if reason := naming.check_prefix(prefix):
            raise InvalidName(reason)
        return naming.page(self.state, prefix, recursive, after)

    # ---- what ends by itself ----

    @service.timer(seconds=1)
    async def expire(self, ctx: service.TimerContext) -> None:
        """End the bindings of sessions that are silent and of nodes that have left."""
        state = self.state
        upto = state.version
        sessions = naming.owning_sessions(state)
        if sessions:
            alive = set(ctx.silent_sessions(0)) - set(ctx.silent_sessions(SILENCE_S))
            sessions = [session for session in sessions if session not in alive]  # an ended one is not listed
        nodes = self._nodes_that_left(ctx.nodes)
        if sessions or nodes:
            await ctx.call("end_owners", sessions=sessions, nodes=nodes, upto=upto)

    def _nodes_that_left(self, members: list[str]) -> list[str]:
        """Count how long the owning nodes have been absent; return those for which it is enough."""
        owning = naming.owning_nodes(self.state) if members else []
        self._absent_s = {node: self._absent_s.get(node, -1) + 1 for node in owning if node not in members}
        return [node for node, absent_s in self._absent_s.items() if absent_s >= NODE_ABSENT_S]

    # ---- rules that need the context ----

    def _put(self, ctx: service.OperationContext, entries: list[Entry], *, replace: bool) -> int:
        state = self.state
        if len(entries) > naming.ENTRIES_MAX:
            raise Refused([f"{len(entries)} names at once, at most {naming.ENTRIES_MAX} are allowed"])
        for entry in entries:
            if reason := naming.check_entry(entry):
                raise InvalidName(reason)
            if entry.lifetime == SESSION and not ctx.session:
                raise InvalidName(f"name {entry.name!r}: lifetime 'session', but the caller has no session")
        bound = [entry.name for entry in entries if entry.name in state.bindings]
        if bound and not replace:
            more = f" and {len(bound) - NAMED_MAX} more" if len(bound) > NAMED_MAX else ""
            told = ", ".join(map(repr, bound[:NAMED_MAX]))
            raise NameExists(f"name {told}{more}: bound already; unbind it first, or rebind")
        if len(state.bindings) + len(entries) - len(bound) > naming.BINDINGS_MAX:
            raise Refused(
                [f"the service holds {len(state.bindings)} names; at most {naming.BINDINGS_MAX} fit"]
            )
        _publish(ctx, [naming.put(state, entry, ctx.session, ctx.sequence) for entry in entries])
        return ctx.sequence


def _publish(ctx: service.OperationContext, changes: list[Change]) -> None:
    for change in changes:
        ctx.publish(change.name, change)
