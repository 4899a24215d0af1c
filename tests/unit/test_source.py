"""The digest of the machines' source says which code decides."""

from __future__ import annotations

from primacy import source


def test_the_digest_is_the_same_each_time() -> None:
    assert source.digest() == source.digest()
    assert len(source.digest()) == 16
