"""[services.ID.recovery] of the configuration table: what follows when a server of the service fails."""

from __future__ import annotations

from msgspec import Struct

from primacy.machines.ids import SECOND
from primacy.machines.rungs import Limits

COUNT_MAX = 1_000


class Recovery(Struct, frozen=True, forbid_unknown_fields=True):
    """[services.ID.recovery] the recovery ladder of the service's server on each node: see RECOVERY_FIELDS."""

    restarts: int = 0
    window_s: float = 60.0
    switchovers: int = 3
    pause_s: float = 1.0
    pause_s_max: float = 60.0
    node_out: int = 0

    def limits(self) -> Limits:
        """The same as the coordinator takes them."""
        return Limits(
            self.restarts,
            int(self.window_s * SECOND),
            self.switchovers,
            int(self.pause_s * SECOND),
            int(self.pause_s_max * SECOND),
            self.node_out,
        )


RECOVERY_FIELDS = {
    "restarts": "so many times in a row a primary that failed is restarted in place, before anything else "
    "(`disk` only; with `restart_in_place = true` and 0: always)",
    "window_s": "a server that lived for so long is well again: its failures count from none",
    "switchovers": "so many hand-overs for failures in a row; then the server is kept back, as failed, where it is",
    "pause_s": "how long a server rests when it has failed a third time in a row (or once more than `restarts`); "
    "doubled with each further failure. Its node takes no role meanwhile",
    "pause_s_max": "the longest such rest",
    "node_out": "with so many failures in a row this life of the node ends, with all its roles, and a new one begins, "
    "which goes on counting; 0: never",
}


def problems(where: str, recovery: Recovery, *, durability: str, local: bool) -> list[tuple[str, str, str]]:
    """Return everything that is wrong with a recovery row, as (path, got, want)."""
    found: list[tuple[str, str, str]] = []
    for name in ("restarts", "switchovers", "node_out"):
        if not 0 <= (count := getattr(recovery, name)) <= COUNT_MAX:
            found.append((f"{where}.{name}", str(count), f"want 0 to {COUNT_MAX}"))
    for name in ("window_s", "pause_s", "pause_s_max"):
        if not 0.1 <= (seconds := getattr(recovery, name)) <= 86_400:
            found.append((f"{where}.{name}", f"{seconds:g}", "want 0.1 to 86400"))
    if recovery.pause_s > recovery.pause_s_max:
        want = f"want at most pause_s_max ({recovery.pause_s_max:g})"
        found.append((f"{where}.pause_s", f"{recovery.pause_s:g}", want))
    if recovery.restarts and durability == "memory":
        want = "want durability = disk with it: what memory held is gone with the process"
        found.append((f"{where}.restarts", str(recovery.restarts), want))
    if recovery != Recovery() and local:
        found.append((where, "of a local service", "want it with centralized services only"))
    return found
