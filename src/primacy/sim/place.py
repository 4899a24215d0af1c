"""What a simulated agent asks of its node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from primacy.machines import host_wire, membership
from primacy.machines.events import Event
from primacy.machines.messages import Message
from primacy.sim.host_process import HostProcess

if TYPE_CHECKING:
    from primacy.sim.agent import Agent


class Place(Protocol):
    """What an agent asks of its node: its guardian, its network, and who looks on."""

    def spawn_host(self, agent: Agent, service: str) -> None:
        """Start a host; `agent.host_started` follows."""

    def kill_host(self, agent: Agent, service: str) -> None:
        """End a host; `agent.host_exited` follows."""

    def send(self, agent: Agent, node: str, message: Message) -> None:
        """Send a datagram to the present life of a node."""

    def greet(self, agent: Agent, node: str, message: Message) -> None:
        """Send a hello to a node."""

    def give_up(self, agent: Agent, reason: str) -> None:
        """End this life of the node, as if its processes had died."""

    def ended(self, agent: Agent, reason: str) -> None:
        """This life of the node has ended in order."""

    def agent_broken(self, agent: Agent, error: Exception) -> None:
        """The agent has found a bug in its own code."""

    def swapping(self, agent: Agent, effect: membership.SwapRecord) -> None:
        """The agent sends a swap."""

    def granted(self, agent: Agent, effect: membership.Grant) -> None:
        """The agent has written a lease page."""

    def acknowledging(self, agent: Agent, effect: membership.Acknowledge) -> None:
        """The agent lets its secondaries acknowledge."""

    def published(self, agent: Agent, event: Event) -> None:
        """An event for operators."""

    def ordered(self, host: HostProcess, message: host_wire.ToHost) -> None:
        """The agent tells a host something."""

    def heard(self, host: HostProcess, message: host_wire.ToAgent) -> None:
        """The agent hears something of a host."""

    def exited(self, host: HostProcess) -> None:
        """The agent hears that a host is gone."""
