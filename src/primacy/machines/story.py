"""Which events tell an operator the story, and which are details of it.

Every node publishes what it sees, so one death is told many times: by each peer that hears the obituary, by each link
that falls silent, by each that misses the node. The story has each fact once, from the one whose word counts, and the
end of a sequence rather than its steps; everything else is a detail, kept and shown on demand (`DETAILS` says when).

Pure: it is given the merged events one after the other, and remembers what it has told.
"""

from __future__ import annotations

from typing import Any

from primacy.machines.timeline import Event, inner

GAP_TOLD_MS = 100.0
"""Shorter gaps of an agent are details: every timing profile but the fastest passes over them."""

DETAILS = {
    "LevelCompleted": "always: the end of the function sums its levels up",
    "ServerChanged": "always: it follows from the functions and from who is master",
    "FunctionBegan": "of initialize and reconnect, and as a part of an operation, whose beginning is told",
    "FunctionEnded": "of reconnect, when it was completed",
    "ObituaryHeard": "when another node has told this death before, or the node itself that it stops",
    "NodeChanged": "when the node's death or start, or another node, has told it before",
    "LinkChanged": "when no other link goes on (then the node is unreachable), or it is not the master's word",
    "FormationWaits": "while it passes by itself, or a master lives",
    "SchedulingGap": f"below {GAP_TOLD_MS:g} ms",
}
"""Per kind of event, when it is a detail; other kinds never are."""


class Story:
    """What has been told so far."""

    def __init__(self) -> None:
        self._master = ""
        self._lost = True  # no master lives, as far as was told
        self._buried: set[str] = set()  # incarnations
        self._present: set[str] = set()
        self._gone: set[str] = set()
        self._links_down: set[tuple[Any, ...]] = set()

    def tells(self, event: Event) -> bool:
        """Take the next event; say whether the story tells it, or it is a detail."""
        said = inner(event)
        match said.get("event"):
            case "LevelCompleted" | "ServerChanged":
                return False
            case "FunctionBegan":
                return said.get("function") not in ("initialize", "reconnect") and not said.get("operation")
            case "FunctionEnded":
                return said.get("function") != "reconnect" or said.get("outcome") != "completed"
            case "MasterElected":
                self._master, self._lost = str(said.get("node")), False
                self._came(self._master)
            case "NodeStarted":
                self._went(str(said.get("node")))
                self._came(str(said.get("node")))
            case "NodeStopped":
                self._buried.add(str(event.get("incarnation")))
                self._went(str(said.get("node")))
            case "MasterDeposed":
                self._went(str(said.get("node")), gone=False)
            case "ObituaryHeard":
                life = str(said.get("incarnation"))
                news = life not in self._buried
                self._buried.add(life)
                if news:
                    self._went(str(said.get("node")))
                return news
            case "NodeChanged":
                return self._node_changed(said)
            case "LinkChanged":
                return self._link_changed(said)
            case "FormationWaits":
                return self._lost and not said.get("passing")
            case "SchedulingGap":
                gap_ms = said.get("gap_ms")
                return not isinstance(gap_ms, int | float) or gap_ms >= GAP_TOLD_MS
        return True

    def _came(self, node: str) -> None:
        self._present.add(node)
        self._gone.discard(node)

    def _went(self, node: str, *, gone: bool = True) -> None:
        if node == self._master:
            self._lost = True
        if gone:
            self._present.discard(node)
            self._gone.add(node)

    def _node_changed(self, said: dict[str, Any]) -> bool:
        peer = str(said.get("peer"))
        if said.get("reachable"):
            news = peer not in self._present and said.get("node") == self._master
            if news:
                self._came(peer)
            return news
        news = peer not in self._gone
        self._went(peer)
        return news

    def _link_changed(self, said: dict[str, Any]) -> bool:
        """A link that went down while others go on, in the master's words, and later its return."""
        link = (frozenset((said.get("node"), said.get("peer"))), said.get("link"))
        if said.get("up"):
            told = link in self._links_down
            self._links_down.discard(link)
            return told
        if said.get("node") != self._master or not said.get("others_up"):
            return False
        self._links_down.add(link)
        return True
