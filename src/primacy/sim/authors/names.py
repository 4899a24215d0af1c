"""The naming service in its own words, for a simulated client: `client.names`; as the production client's, but waiting.

client.names.bind("shop/till/1", endpoint="10.0.0.7:8100", lifetime="session")
entry = client.names.resolve("shop/till/1")
changes = client.names.watch("shop")     # changes.changes grows while virtual time runs
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from primacy.errors import InvalidName, NameExists, NameNotFound, NamingError, OperationFailed
from primacy.machines import naming
from primacy.machines.naming import Change, Entry, Listed, Page
from primacy.sim.settings import NAMING

if TYPE_CHECKING:
    from primacy.sim.authors.client import Client, Watch

_FAILURES: dict[str, type[NamingError]] = {
    kind.__name__: kind for kind in (InvalidName, NameExists, NameNotFound)
}
_change = msgspec.msgpack.Decoder(Change).decode


class NameWatch:
    """A watch on names."""

    def __init__(self, prefix: str, watch: Watch) -> None:
        self._prefix, self._watch = prefix, watch
        self.close = watch.close

    @property
    def changes(self) -> list[Change]:
        """What has changed at the prefix and below it since the watch began, in order."""
        changes = [_change(payload) for _, _, payload in self._watch.changes]
        return [change for change in changes if naming.under(change.name, self._prefix)]


class Names:
    """The names of the cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def bind(
        self, name: str, endpoint: str, attributes: dict[str, str] | None = None, lifetime: str | None = None
    ) -> int:
        """Bind a name that is not bound; return the binding's version. lifetime: None | `session` | `node:ID`."""
        return int(self._call("bind", **_checked(Entry(name, endpoint, attributes or {}, lifetime))))

    def rebind(
        self, name: str, endpoint: str, attributes: dict[str, str] | None = None, lifetime: str | None = None
    ) -> int:
        """Bind a name whatever it is bound to."""
        return int(self._call("rebind", **_checked(Entry(name, endpoint, attributes or {}, lifetime))))

    def unbind(self, name: str) -> int:
        """Unbind a name; return the version of the change."""
        return int(self._call("unbind", name=name))

    def release(self) -> int:
        """Unbind every name that this client's session owns; return how many those were."""
        return int(self._call("release"))

    def resolve(self, name: str) -> Listed:
        """Return what a name is bound to."""
        return msgspec.convert(self._query("resolve", name=name), Listed)

    def list(self, prefix: str = "", recursive: bool = False) -> list[Listed]:
        """Return what lies directly below `prefix`, or with `recursive` every name below it, in order."""
        _check_prefix(prefix)
        found: dict[str, Listed] = {}
        after, more = "", True
        while more:
            answer = self._query("listing", prefix=prefix, recursive=recursive, after=after)
            page = msgspec.convert(answer, Page)
            found |= {entry.name: entry for entry in page.entries}
            after = page.after
            more = bool(after)
        return [found[name] for name in sorted(found)]

    def watch(self, prefix: str = "") -> NameWatch:
        """Watch the changes of `prefix` and of all names below it, from now on."""
        _check_prefix(prefix)
        return NameWatch(prefix, self._client.watch(NAMING, prefix))

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return self._client.call(NAMING, operation, **arguments)
        except OperationFailed as error:
            raise _typed(error) from None

    def _query(self, operation: str, **arguments: Any) -> Any:
        try:
            return self._client.query(NAMING, operation, **arguments)
        except OperationFailed as error:
            raise _typed(error) from None


def _checked(entry: Entry) -> dict[str, Any]:
    if reason := naming.check_entry(entry):
        raise InvalidName(reason)
    return msgspec.structs.asdict(entry)


def _check_prefix(prefix: str) -> None:
    if reason := naming.check_prefix(prefix):
        raise InvalidName(reason)


def _typed(error: OperationFailed) -> OperationFailed:
    kind = _FAILURES.get(error.kind)
    return kind(error.message) if kind else error
