"""Entries for the naming service from the files that every system has: `/etc/services` and `/etc/hosts`.
Pure.

    http  80/tcp  www  # WorldWideWeb     ->  services/http/tcp   :80         aliases=www
    comment=WorldWideWeb 10.0.0.1  db1.example.com  db1        ->  hosts/db1.example.com  10.0.0.1
    aliases=db1

A line that makes no sense is told by its number and left out; it never spoils the others.  Source:
services(5), hosts(5).
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from primacy.machines.naming import ATTRIBUTE_VALUE_LENGTH_MAX, Entry, check_entry


class Parsed(Struct, frozen=True):
    """What a file holds; `problems` tells of each line that was left out."""

    entries: list[Entry]
    problems: list[str]


def parse_services(text: str, prefix: str = "services") -> Parsed:
    """Return the entries of a file in the format of `/etc/services`; the first line of a name counts."""
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for number, fields, comment in _lines(text):
        port, slash, protocol = fields[1].partition("/") if len(fields) > 1 else ("", "", "")
        if not (slash and protocol and port.isascii() and port.isdecimal() and int(port) < 65536):
            problems.append(f"line {number}: want NAME PORT/PROTOCOL [ALIAS...], got {' '.join(fields)!r}")
            continue
        attributes = {"port": str(int(port)), "protocol": protocol}
        if fields[2:]:
            attributes["aliases"] = " ".join(fields[2:])[:ATTRIBUTE_VALUE_LENGTH_MAX]
        if comment:
            attributes["comment"] = comment[:ATTRIBUTE_VALUE_LENGTH_MAX]
        name = f"{prefix}/{fields[0]}/{protocol}" if prefix else f"{fields[0]}/{protocol}"
        _add(entries, problems, number, Entry(name, f":{int(port)}", attributes))
    return Parsed(list(entries.values()), problems)


def parse_hosts(text: str, prefix: str = "hosts") -> Parsed:
    """Return the entries of a file in the format of `/etc/hosts`.

    A name with several addresses (an IPv4 and an IPv6 one) has the first as its endpoint, and all as
    `addresses`.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for number, fields, _ in _lines(text):
        try:
            address = str(ipaddress.ip_address(fields[0]))
        except ValueError:
            problems.append(f"line {number}: {fields[0]!r} is no IP address")
            continue
        if len(fields) < 2:
            problems.append(f"line {number}: no host name after {address}")
            continue
        name = f"{prefix}/{fields[1]}" if prefix else fields[1]
        known = entries.get(name)
        addresses = known.attributes["addresses"].split() if known else []
        aliases = known.attributes.get("aliases", "").split() if known else []
        addresses += [address] * (address not in addresses)
        aliases += [alias for alias in fields[2:] if alias not in aliases]
        attributes = {"addresses": " ".join(addresses)}
        if aliases:
            attributes["aliases"] = " ".join(aliases)[:ATTRIBUTE_VALUE_LENGTH_MAX]
        entries.pop(name, None)
        _add(entries, problems, number, Entry(name, addresses[0], attributes))
    return Parsed(list(entries.values()), problems)


def _lines(text: str) -> list[tuple[int, list[str], str]]:
    """Return (number, fields, comment) of each line that says something."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        content, _, comment = line.partition("#")
        if fields := content.split():
            lines.append((number, fields, comment.strip()))
    return lines


def _add(entries: dict[str, Entry], problems: list[str], number: int, entry: Entry) -> None:
    if reason := check_entry(entry):
        problems.append(f"line {number}: {reason}")
    elif entry.name in entries:
        problems.append(f"line {number}: name {entry.name!r} stands there twice; the first counts")
    else:
        entries[entry.name] = entry
