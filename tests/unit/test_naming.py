"""The rules of names: what is allowed, who owns, what a listing holds; against a plain dictionary as the
model."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primacy.machines import naming
from primacy.machines.naming import Bindings, Entry, Listed


def bound(*names: str, lifetime: str | None = None, session: int = 7) -> Bindings:
    state = Bindings()
    for version, name in enumerate(names, 1):
        naming.put(state, Entry(name, f"{name}:80", {}, lifetime), session, version)
    return state


def listed(state: Bindings, prefix: str = "", recursive: bool = False) -> list[str]:
    """Return the names of a whole listing; directories end with a slash."""
    entries: list[Listed] = []
    after, more = "", True
    while more:
        page = naming.page(state, prefix, recursive, after)
        entries += page.entries
        after, more = page.after, bool(page.after)
    return [entry.name + "/" * entry.directory for entry in entries]


@pytest.mark.parametrize(
    "name", ["a", "a/b/c", "services/http/tcp", "whois++/tcp", "A.b-c_d~e:f@g*h+i", "_x", "1/2", "x" * 64]
)
def test_names_that_are_allowed(name: str) -> None:
    assert naming.check_name(name) == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "empty"),
        ("/a", "an empty part"),
        ("a/", "an empty part"),
        ("a//b", "an empty part"),
        ("a b", "letters, digits"),
        (".", "letters, digits"),
        ("a/../b", "letters, digits"),
        ("-a", "letters, digits"),
        ("é", "letters, digits"),
        ("a\n", "letters, digits"),
        ("x" * 65, "longer than 64"),
        ("/".join(["a"] * 17), "17 levels"),
        ("/".join(["x" * 60] * 5), "304 characters"),
    ],
)
def test_names_that_are_not_are_told_why(name: str, told: str) -> None:
    assert told in naming.check_name(name)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (Entry("a b", ""), "letters, digits"),
        (Entry("a", "no spaces"), "endpoint"),
        (Entry("a", "x" * 256), "endpoint"),
        (Entry("a", "", {"": "v"}), "attribute"),
        (Entry("a", "", {"two words": "v"}), "attribute"),
        (Entry("a", "", {"k": "v" * 1025}), "at most 1024"),
        (Entry("a", "", {str(n): "" for n in range(33)}), "33 attributes"),
        (Entry("a", "", {}, "for ever"), "lifetime 'for ever'"),
        (Entry("a", "", {}, "node:"), "lifetime"),
        (Entry("a", ""), ""),
        (Entry("a", "10.0.0.1:80", {"weight": "a b"}, "session"), ""),
        (Entry("a", ":80", {}, "node:n1"), ""),
    ],
)
def test_what_may_be_bound(entry: Entry, told: str) -> None:
    reason = naming.check_entry(entry)
    assert told in reason
    assert bool(told) == bool(reason)


def test_a_listing_shows_what_lies_directly_below() -> None:
    state = bound("a", "a/b", "a/b/c", "a/b/d", "a/x/y/z", "a-b", "a+b/c", "ab", "b/c")
    assert listed(state) == ["a/", "a+b/", "a-b", "ab", "b/"]
    assert listed(state, "a") == ["a/b/", "a/x/"]
    assert listed(state, "a/b") == ["a/b/c", "a/b/d"]
    assert listed(state, "a/b/c") == []
    assert listed(state, "nothing") == []


def test_a_recursive_listing_holds_the_prefix_and_all_below() -> None:
    state = bound("a", "a/b", "a/b/c", "a/x/y/z", "a-b", "ab", "b/c")
    assert listed(state, "a", recursive=True) == ["a", "a/b", "a/b/c", "a/x/y/z"]
    assert listed(state, "", recursive=True) == sorted(state.bindings)


def test_an_unbound_directory_has_no_version() -> None:
    (entry,) = naming.page(bound("a/b"), "", False, "").entries
    assert entry == Listed("a", "", {}, None, 0, directory=True)


def test_long_listings_come_in_pages_that_say_their_version() -> None:
    state = bound(*(f"d{number % 3}/n{number:04}" for number in range(1100)))
    page = naming.page(state, "", True, "")
    assert (len(page.entries), page.version) == (naming.ENTRIES_MAX, 1100)
    assert page.after == page.entries[-1].name
    assert listed(state, "", recursive=True) == sorted(state.bindings)
    assert listed(state) == ["d0/", "d1/", "d2/"]


def test_pages_are_limited_in_bytes_too() -> None:
    state = Bindings()
    attributes = {str(number): "x" * 1000 for number in range(30)}
    for number in range(40):
        naming.put(state, Entry(f"n{number:02}", "", attributes), 0, number + 1)
    page = naming.page(state, "", True, "")
    assert page.after
    assert len(msgspec.msgpack.encode(page)) < 1 << 20
    assert listed(state, "", recursive=True) == sorted(state.bindings)


def test_owners_lose_what_they_own_up_to_a_version() -> None:
    state = bound("a", "b", lifetime="session", session=7)
    naming.put(state, Entry("c", "", {}, "node:n1"), 8, 3)
    naming.put(state, Entry("d", "", {}, "session"), 7, 4)
    naming.put(state, Entry("e", "", {}, None), 7, 5)
    assert naming.owning_sessions(state) == [7]
    assert naming.owning_nodes(state) == ["n1"]
    changes = naming.remove_owned(state, [naming.session_owner(7), naming.session_owner(9)], 6, upto=3)
    assert [(each.name, each.binding, each.version) for each in changes] == [("a", None, 6), ("b", None, 6)]
    assert naming.remove_owned(state, [naming.node_owner("n1")], 7, upto=6)[0].name == "c"
    assert (sorted(state.bindings), state.owned, state.version) == (["d", "e"], {"session:7": {"d": True}}, 7)


def test_rebinding_passes_to_the_new_owner() -> None:
    state = bound("a", lifetime="session", session=7)
    naming.put(state, Entry("a", "", {}, "session"), 8, 2)
    assert naming.owning_sessions(state) == [8]
    naming.put(state, Entry("a", ""), 8, 3)
    assert state.owned == {}
    assert state.names == ["a"]


def test_what_is_under_a_prefix() -> None:
    assert naming.under("a/b", "")
    assert naming.under("a/b", "a")
    assert naming.under("a/b", "a/b")
    assert not naming.under("a/bc", "a/b")


SEGMENTS = st.sampled_from(["a", "b", "a-b", "a+b", "ab", "a0"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.sampled_from([None, "session", "node:n1"]), st.integers(1, 3)),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("end"), st.integers(1, 3)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=30), NAMES | st.just(""))
def test_any_history_leaves_the_state_in_order(steps: list[tuple[object, ...]], prefix: str) -> None:
    state, model = Bindings(), dict[str, str]()
    for version, step in enumerate(steps, 1):
        match step:
            case ("put", str(name), lifetime, int(session)):
                assert lifetime is None or isinstance(lifetime, str)
                naming.put(state, Entry(name, "", {}, lifetime), session, version)
                model[name] = f"session:{session}" if lifetime == "session" else lifetime or ""
            case ("remove", str(name)):
                assert (naming.remove(state, name, version) is None) == (model.pop(name, None) is None)
            case ("end", int(session)):
                naming.remove_owned(state, [naming.session_owner(session)], version, version)
                model = {name: owner for name, owner in model.items() if owner != f"session:{session}"}
    assert state.names == sorted(model)
    assert {name: binding.owner() for name, binding in state.bindings.items()} == model
    assert {(owner, name) for owner, names in state.owned.items() for name in names} == {
        (owner, name) for name, owner in model.items() if owner
    }
    below = [name for name in sorted(model) if naming.under(name, prefix)]
    assert listed(state, prefix, recursive=True) == below
    depth = prefix.count("/") + 2 if prefix else 1
    children = {"/".join(name.split("/")[:depth]) for name in below if name != prefix}
    assert sorted(name.rstrip("/") for name in listed(state, prefix)) == sorted(children)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=Bindings)
    assert again == state


def test_a_listing_begins_with_a_name_or_with_nothing() -> None:
    assert naming.check_prefix("") == ""
    assert naming.check_prefix("a/b") == ""
    assert "an empty part" in naming.check_prefix("a/")


def test_a_listing_of_nothing_is_one_empty_page() -> None:
    page = naming.page(bound("a/b"), "c", True, "")
    assert (page.entries, page.after) == ([], "")


def test_a_page_that_begins_below_a_name_that_was_told_tells_it_no_more() -> None:
    page = naming.page(bound("a", "a/b", "c"), "", False, "a")
    assert [entry.name for entry in page.entries] == ["c"]
