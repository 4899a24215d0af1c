"""What the two machines of one life of a node begin with: everything that their construction takes, as one value.

Kept with a record of what the machines were given since, it makes the same machines again. Pure.
"""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.coordination import ServiceEntry
from primacy.machines.coordinator import Coordinator
from primacy.machines.ids import Member
from primacy.machines.mastership import Monitor
from primacy.machines.membership import NodeEntry
from primacy.machines.timing import Timing

Addresses = dict[str, dict[str, list[tuple[str, int]]]]
"""Per node and centralized service, where its host listens."""


class Beginning(Struct, frozen=True, kw_only=True):
    """The arguments of `Monitor` and `Coordinator`. now_ns: when this life began.

    failures: what the last life of the node has told of its servers.
    """

    me: Member
    cluster: str
    now_ns: int
    timing: Timing
    nodes: tuple[NodeEntry, ...]
    volatile: bool
    availability: bool
    services: tuple[ServiceEntry, ...]
    addresses: Addresses
    auto_promote: bool
    failures: dict[str, tuple[int, int]] = {}

    def monitor(self) -> Monitor:
        """Return the membership monitor of this life of the node, as it begins."""
        return Monitor(
            self.me,
            self.cluster,
            self.timing,
            self.nodes,
            self.now_ns,
            volatile=self.volatile,
            availability=self.availability,
        )

    def coordinator(self) -> Coordinator:
        """Return the services coordinator of this life of the node, as it begins."""
        return Coordinator(
            self.me,
            self.services,
            self.addresses,
            self.now_ns,
            nodes=self.nodes,
            auto_promote=self.auto_promote,
            failures=self.failures,
        )
