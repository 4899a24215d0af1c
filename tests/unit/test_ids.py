"""Names and numbers that every part shares."""

from __future__ import annotations

from primacy.machines.ids import FOREVER_NS, NEVER_NS, Function, Member, Role, ServerState


def test_a_member_is_shown_short_and_compared_whole() -> None:
    member = Member("n1", "0123456789abcdef" * 2)
    assert str(member) == "n1/01234567"
    assert member != Member("n1", "0123456789abcdee" * 2)
    assert len({member, Member("n1", "0123456789abcdef" * 2)}) == 1


def test_words_are_plain_text_where_they_leave_the_process() -> None:
    for words in (Role, ServerState, Function):
        assert all(word == str(word) == word.value for word in words)


def test_for_ever_fits_into_a_word_of_the_lease_page() -> None:
    assert NEVER_NS == 0
    assert FOREVER_NS < 1 << 64
