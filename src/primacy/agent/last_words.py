"""The obituaries of this life, sealed in advance for every peer and held by the guardian.

The guardian releases them when every process of the node is dead, and only then: so they are proof. A link that an
operator took down carries none.
"""

from __future__ import annotations

from primacy.agent.guardian_link import GuardianLink
from primacy.cgtp.datagram import DatagramPort
from primacy.machines import messages
from primacy.machines.ids import Member


class LastWords:
    """What the guardian is to say after the death of this agent."""

    def __init__(
        self, me: Member, own_addresses: list[tuple[str, int]], guardian: GuardianLink, port: DatagramPort
    ) -> None:
        self._own = own_addresses
        self._guardian, self._port = guardian, port
        self._obituary = messages.encode(messages.Obituary(me))
        self._sealed: dict[str, list[tuple[int, str, int, bytes]]] = {}
        self._links_down: set[int] = set()

    def seal_for(self, node: str) -> None:
        """Keys were exchanged with the present life of this node."""
        self._sealed[node] = self._port.seal_obituary(node, self._obituary)
        self._hold()

    def set_link(self, index: int, up: bool) -> None:
        """A link of this node was taken down or up."""
        (self._links_down.discard if up else self._links_down.add)(index)
        self._hold()

    def _hold(self) -> None:
        self._guardian.hold_obituaries(
            [
                (self._own[link][0], address, port, sealed)
                for items in self._sealed.values()
                for link, address, port, sealed in items
                if link < len(self._own) and link not in self._links_down
            ]
        )
