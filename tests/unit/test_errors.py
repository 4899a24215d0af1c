"""The tree of errors: the drawing is the truth, and each error carries what its catcher needs."""

from __future__ import annotations

import inspect
import re

import pytest

from primacy import errors


def _drawn() -> dict[str, str]:
    """Error to parent, read from the drawing in the module's docstring by its depth."""
    parents: dict[str, str] = {}
    path = [(0, "PrimacyError")]
    for line in (errors.__doc__ or "").splitlines():
        branch = re.match(r"\s*(?:│\s*)*\s*[├└]─ (\w+)", line)
        if branch:
            depth = branch.start(1)
            while path[-1][0] >= depth:
                path.pop()
            parents[branch[1]] = path[-1][1]
            path.append((depth, branch[1]))
    return parents


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    classes = [
        c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.PrimacyError)
    ]
    assert _drawn() == {c.__name__: c.__bases__[0].__name__ for c in classes if c is not errors.PrimacyError}


def test_a_refusal_holds_every_reason() -> None:
    error = errors.Refused(["n2 is not ready", "n3 is in maintenance"])
    assert error.reasons == ["n2 is not ready", "n3 is in maintenance"]
    assert str(error) == "n2 is not ready; n3 is in maintenance"


def test_a_wrong_setting_tells_where_what_and_what_instead() -> None:
    error = errors.ConfigError("timing.beat_ms", "0", "at least 1")
    assert (error.path, error.got, error.want) == ("timing.beat_ms", "0", "at least 1")
    assert str(error) == "timing.beat_ms: got 0; at least 1"


@pytest.mark.parametrize("maybe_applied", [True, False])
def test_a_deadline_tells_whether_the_call_may_have_been_executed(maybe_applied: bool) -> None:
    assert errors.Deadline("no answer", maybe_applied).maybe_applied is maybe_applied


def test_a_failed_operation_tells_what_it_raised() -> None:
    error = errors.OperationFailed("ValueError", "out of stock")
    assert (error.kind, error.message, str(error)) == (
        "ValueError",
        "out of stock",
        "ValueError: out of stock",
    )
