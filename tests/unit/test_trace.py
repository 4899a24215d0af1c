"""Records replayed: real machines answer the same; a record that was altered, cut or made elsewhere is told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from primacy.cli import main as cli
from primacy.errors import ConfigError
from primacy.machines import coordination as c
from primacy.machines import membership as m
from primacy.machines import recorded
from primacy.machines.recorded import Kind
from primacy.sim import trace
from tests.unit.trace_tools import Lone, Row, beginning, head, write


@pytest.fixture(scope="module")
def lone() -> Lone:
    made = Lone()
    made.live(2_000)
    assert made.coordinator.serving.serves
    return made


def _check(tmp_path: Path, lone: Lone, rows: list[Row], **changed: Any) -> trace.Report:
    write(tmp_path / "n1.record", head(lone.beginning, **changed), rows)
    return trace.check([tmp_path])


def _clauses(report: trace.Report) -> set[str]:
    return {each.clause for each in report.violations}


def test_the_same_inputs_have_the_same_effects(tmp_path: Path, lone: Lone) -> None:
    report = _check(tmp_path, lone, lone.rows)
    assert report.status == trace.HOLDS, trace.render(report)
    [life] = report.lives
    assert (life.replay, life.same, life.inputs, report.inputs) == ("same", *[len(lone.rows)] * 3)
    assert (report.terms, report.unchecked) == (1, [])
    assert "all effects the same" in trace.render(report)


def test_an_effect_that_was_changed_is_found(tmp_path: Path, lone: Lone) -> None:
    number = next(n for n, row in enumerate(lone.rows) if row[2] and isinstance(row[2][-1], m.Wake))
    kind, item, effects = lone.rows[number]
    changed = [*effects[:-1], m.Wake(effects[-1].at_ns + 1)]
    rows = [*lone.rows[:number], (kind, item, changed), *lone.rows[number + 1 :]]
    report = _check(tmp_path, lone, rows)
    assert report.status == trace.VIOLATED
    assert _clauses(report) == {"same effects"}
    [found] = report.violations
    was, now = effects[-1].at_ns + 1, effects[-1].at_ns
    assert f"input {number}, " in found.text
    assert f"was Wake(at_ns={was}); here it is Wake(at_ns={now})" in found.text


def test_every_single_input_that_is_left_out_is_found(tmp_path: Path, lone: Lone) -> None:
    """The numbers show a gap; and where they were written anew, the machines, or what one said to the other, do."""
    unnoticed = []
    for number in range(len(lone.rows)):
        rows = [*lone.rows[:number], *lone.rows[number + 1 :]]
        if _check(tmp_path, lone, rows).status != trace.VIOLATED:
            unnoticed.append(type(lone.rows[number][1]).__name__)
    # time that has passed without anything to do, and the record read as it was known, leave no trace in a machine
    assert set(unnoticed) <= {"Tick", "Started", "Learned"}
    entries = [recorded.encode((n, *row)) for n, row in enumerate(lone.rows)]
    del entries[7]
    path = tmp_path / "n1.record"
    start = recorded.MAGIC + recorded.block(recorded.encode(head(lone.beginning)))
    path.write_bytes(start + recorded.block(recorded.joined(entries)))
    report = trace.check([path])
    assert _clauses(report) == {"record"}
    assert "input 7 is left out" in report.violations[0].text


def test_bytes_that_were_changed_are_found(tmp_path: Path, lone: Lone) -> None:
    path = write(tmp_path / "n1.record", head(lone.beginning), lone.rows)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = trace.check([path])
    assert "record" in _clauses(report)
    assert "is not what was written" in trace.render(report)


def test_a_record_that_is_cut_short_is_checked_as_far_as_it_goes(tmp_path: Path, lone: Lone) -> None:
    path = write(tmp_path / "n1.record", head(lone.beginning), lone.rows, words=None)
    assert trace.check([path]).lives[0].ends.startswith("without a word")
    path.write_bytes(path.read_bytes()[:-3])
    report = trace.check([path])
    assert report.status == trace.HOLDS
    assert report.lives[0].inputs == len(lone.rows) - 1
    assert "the last block is cut short" in report.lives[0].ends
    assert any("its record ends early" in each for each in report.unchecked)


def test_another_version_that_decides_otherwise_is_no_fault_of_the_cluster(
    tmp_path: Path, lone: Lone
) -> None:
    kind, item, effects = lone.rows[-1]
    rows = [*lone.rows[:-1], (kind, item, [*effects, c.Wake(1)])]
    report = _check(tmp_path, lone, rows, code="0123456789abcdef", version="0.0.9")
    assert report.status == trace.OTHERWISE
    assert report.violations == []
    assert report.lives[0].replay == "other version"
    assert "version 0.0.9" in report.lives[0].why
    assert _check(tmp_path, lone, lone.rows, code="0123456789abcdef").status == trace.HOLDS


def test_an_input_that_this_version_does_not_know_is_told(tmp_path: Path, lone: Lone) -> None:
    strange: Row = (Kind.MONITOR, ["Prophecy", 5], [])
    report = _check(tmp_path, lone, [*lone.rows[:9], strange], code="0123456789abcdef")
    assert report.status == trace.HOLDS
    assert report.lives[0].replay == "not replayed"
    assert "Prophecy(field 0=5)" in report.lives[0].why


def test_a_life_whose_first_file_is_gone_is_looked_at_but_not_replayed(tmp_path: Path, lone: Lone) -> None:
    report = _check(tmp_path, lone, lone.rows[20:], part=3, first=20)
    assert report.status == trace.HOLDS
    assert (report.lives[0].replay, report.lives[0].inputs) == ("not replayed", len(lone.rows) - 20)
    assert "its first files are gone" in trace.render(report)


def test_files_of_one_life_are_read_in_their_order(tmp_path: Path, lone: Lone) -> None:
    begins = lone.beginning
    write(tmp_path / "z.record", head(begins), lone.rows[:20], words=None)
    write(tmp_path / "a.record", head(begins, part=1, first=20), lone.rows[20:30], words=None)
    write(tmp_path / "b.record", head(begins, part=2, first=30), lone.rows[30:])
    report = trace.check([tmp_path])
    assert (report.status, report.lives[0].same) == (trace.HOLDS, len(lone.rows))
    (tmp_path / "a.record").unlink()
    report = trace.check([tmp_path])
    assert (report.status, report.lives[0].same) == (trace.HOLDS, 20)
    assert "file 1 of its record is missing" in report.lives[0].ends


def test_a_file_that_was_only_just_begun_holds_nothing(tmp_path: Path, lone: Lone) -> None:
    write(tmp_path / "n1.record", head(lone.beginning), lone.rows)
    (tmp_path / "n2.record").write_bytes(recorded.MAGIC[:5])
    (tmp_path / "n3.record").touch()
    report = trace.check([tmp_path])
    assert (report.status, len(report.lives)) == (trace.HOLDS, 1)


def test_a_step_that_broke_off_is_told(tmp_path: Path, lone: Lone) -> None:
    exited = c.HostExited(now_ns=lone.now_ns, service="no service", reason="x")
    rows = [*lone.rows, (Kind.BROKEN, exited, ["KeyError: 'no service'"])]
    report = _check(tmp_path, lone, rows)
    assert _clauses(report) == {"driver"}
    assert "broke off (KeyError: 'no service'): HostExited(" in report.violations[0].text
    rows = [*lone.rows, (Kind.COORDINATOR, exited, [])]
    [found] = _check(tmp_path, lone, rows).violations
    assert "here the step breaks off: KeyError" in found.text


def test_what_is_no_record_is_an_error_that_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "events.jsonl").write_text("{}\n")
    for path, got in [
        ("events.jsonl", "no record of an agent"),
        ("nothing", "No such file"),
        (".", "no record"),
    ]:
        with pytest.raises(ConfigError, match=got):
            trace.check([tmp_path / path])
    assert trace.main([str(tmp_path)]) == trace.UNREADABLE
    assert "no record" in capsys.readouterr().err
    later = write(tmp_path / "later.record", head(beginning(), format=recorded.FORMAT + 1), [])
    with pytest.raises(ConfigError, match=f"format {recorded.FORMAT + 1}"):
        trace.check([later])


def test_the_command_tells_its_finding_as_sentences_or_json(
    tmp_path: Path, lone: Lone, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "n1.record", head(lone.beginning), lone.rows)
    assert trace.main([str(path)]) == 0
    assert "nothing is violated (checked: S1, S5, S6, S7" in capsys.readouterr().out
    assert trace.main([str(path), "--json"]) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert (told["status"], told["violations"], told["lives"][0]["replay"]) == (0, [], "same")
    assert cli.main(["sim", "--trace", str(path), "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == told
    assert cli.main(["sim", "--trace", str(tmp_path / "nothing")]) == 78
    assert cli.main(["sim", "--trace"]) == 2
