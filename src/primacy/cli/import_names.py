"""Names from a file in the form of /etc/services or /etc/hosts.  Pure: text in, entries out.

Each line tells its form by itself: `name port/protocol alias...`, or `address name...`; what follows `#` is a
comment. An alias is a name of its own that says whose it is. A host with several addresses is bound to the
first; all are in the attribute `addresses`. Sources: services(5), hosts(5).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from primacy.machines.naming import Entry, check_entry

SERVICES = "services"
HOSTS = "hosts"
_PORT = re.compile(r"(\d{1,5})/([a-z0-9-]+)")


@dataclass(frozen=True)
class Parsed:
    """The entries in the order of their names, and a line for each that was left out, with the reason."""

    entries: list[Entry]
    left_out: list[str]


def parse(text: str, prefix: str | None = None) -> Parsed:
    """Return the entries of a file; `prefix` takes the place of `services` and `hosts`."""
    entries: dict[str, Entry] = {}
    left_out: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        found = _service(words, prefix or SERVICES) or _host(words, prefix or HOSTS, entries)
        if not found:
            left_out.append(f"line {number}: {line.strip()[:60]!r} has neither form")
        for entry in found:
            if reason := check_entry(entry):
                left_out.append(f"line {number}: {reason}")
            else:
                entries[entry.name] = entry
    return Parsed([entries[name] for name in sorted(entries)], left_out)


def _service(words: list[str], prefix: str) -> list[Entry]:
    port = _PORT.fullmatch(words[1]) if len(words) > 1 else None
    if port is None:
        return []
    name, aliases = words[0], words[2:]
    attributes = {"port": port[1], "protocol": port[2]}
    if aliases:
        attributes["aliases"] = ",".join(aliases)
    below = f"{prefix}/{port[2]}"
    return [
        Entry(f"{below}/{name}", port[1], attributes),
        *(
            Entry(f"{below}/{alias}", port[1], {"port": port[1], "protocol": port[2], "alias_of": name})
            for alias in aliases
        ),
    ]


def _host(words: list[str], prefix: str, entries: dict[str, Entry]) -> list[Entry]:
    try:
        address = str(ipaddress.ip_address(words[0]))
    except ValueError:
        return []
    found = []
    for alias in words[1:]:
        name = f"{prefix}/{alias}"
        first = entries.get(name)
        known = first.attributes["addresses"].split(",") if first else []
        if address not in known:
            known.append(address)
        found.append(Entry(name, known[0], {"addresses": ",".join(known)}))
    return found
