"""The files of recorded agents: found, put together to lives of nodes, and read entry by entry.

A life whose first file is gone cannot be replayed, but what its machines answered can still be looked at; a last block
that was cut short is how the record of a killed agent ends. What cannot be read is told, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from primacy.errors import ConfigError, WireError
from primacy.machines import recorded
from primacy.machines.ids import Member
from primacy.machines.recorded import Entry, Head, Kind

_PREFIX_BYTES = 4 << 20  # in which a file's head is found


@dataclass(slots=True)
class Life:
    """The record of one life of a node. head: of its first file that is here.

    After `entries` has been read through: count, ends (how the record ends), altered (what a recorder does not do).
    """

    head: Head
    parts: list[tuple[int, Path]]
    count: int = 0
    ends: str = ""
    altered: list[str] = field(default_factory=list)

    @property
    def member(self) -> Member:
        """Which life of which node."""
        return Member(self.head.node, self.head.incarnation)

    @property
    def whole(self) -> bool:
        """Whether it begins where the life began."""
        return self.head.part == 0

    def entries(self) -> Iterator[Entry]:
        """Read all entries in order, until the end or the first thing that cannot be read."""
        self.ends = "without a word: its agent was killed, or still records"
        wanted, following = self.head.first, self.head.part
        for part, path in self.parts:
            if part != following:
                self.ends = f"early: file {following} of its record is missing"
                return
            following += 1
            try:
                contents = recorded.contents(path.read_bytes())
            except (OSError, WireError) as error:
                self.ends = f"early: {path}: {error}"
                return
            for data in contents.entries:
                entry = recorded.decode_entry(data)
                if entry.number != wanted:
                    self.altered.append(
                        f"input {wanted} is left out: input {entry.number} stands in its place ({path.name})"
                    )
                    self.ends = f"at input {wanted}, which is missing"
                    return
                wanted += 1
                if entry.kind == Kind.END:
                    self.ends = f"with these words: {recorded.text(entry.input)}"
                    return
                self.count += 1
                yield entry
            if contents.trouble:
                self.ends = f"early: {path.name}: {contents.trouble}"
                if not contents.torn:
                    self.altered.append(f"{path.name}: {contents.trouble}")
                return


def lives(paths: Iterable[Path]) -> list[Life]:
    """Return the lives that these files and directories hold, the oldest first; ConfigError: one cannot be read.

    A file that its agent had only just begun when it was killed holds nothing, and is passed over.
    """
    found: dict[tuple[str, str], Life] = {}
    for path in _files(paths):
        try:
            with path.open("rb") as file:
                data = file.read(_PREFIX_BYTES)
            if recorded.headless(data):
                continue
            head = recorded.contents(data).head
        except (OSError, WireError) as error:
            want = "want a file that an agent with the boot parameter `record` has written"
            raise ConfigError(str(path), str(error), want) from error
        life = found.setdefault((head.node, head.incarnation), Life(head, []))
        life.parts.append((head.part, path))
        if head.part < life.head.part:
            life.head = head
    for life in found.values():
        life.parts.sort()
    return sorted(found.values(), key=lambda each: (each.head.wall_ns, each.head.node))


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{recorded.SUFFIX}"))
            if not inside:
                raise ConfigError(
                    str(path), "no record", f"want a directory with files that end in {recorded.SUFFIX}"
                )
            files += inside
        else:
            files.append(path)
    return list(dict.fromkeys(files))
