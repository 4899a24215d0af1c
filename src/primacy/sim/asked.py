"""A request of an operator, and how it was answered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Asked:
    """One operator's request. answers: the kinds that its tries were answered with; tries: how many were made."""

    id: str
    verb: str
    target: str
    tries: int = 0
    answers: list[str] = field(default_factory=list)

    @property
    def refused(self) -> bool:
        """Whether every try was answered, and none of them with anything but a refusal."""
        return len(self.answers) == self.tries > 0 and set(self.answers) == {"refused"}
