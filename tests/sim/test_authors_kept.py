"""Drawn faults as data: as lines of a test, and as a file that gives the same run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from primacy.errors import ConfigError
from primacy.sim import Cluster, Fault
from primacy.sim.authors.kept import Kept, code, drawn_in, given_to, lines, read, write
from tests.sim.author_services import Sound

POWER = Fault(1200, "power", "master", for_ms=500)
CUT = Fault(7, "loss", "n1", 'n"2', for_ms=-1, link=0, amount=0.5)


def test_the_lines_of_a_fault_make_the_same_fault() -> None:
    assert code(POWER) == 'Fault(1200, "power", "master", for_ms=500)'
    for fault in (POWER, CUT, Fault(0, "switchover")):
        assert eval(code(fault), {"Fault": Fault}) == fault


def test_the_lines_schedule_each_call_of_chaos() -> None:
    class Recorder:
        def __init__(self) -> None:
            self.lists: list[list[Fault]] = []

        def schedule(self, faults: list[Fault]) -> None:
            self.lists.append(faults)

    told, cluster = lines(drawn_in(0, [(POWER, CUT), (), (CUT,)])), Recorder()
    exec("\n".join(told), {"cluster": cluster})
    assert cluster.lists == [[POWER, CUT], [CUT]]
    assert told[-1] == ")  # in the place of cluster.chaos(...), call 3 of cluster 1"
    assert lines(drawn_in(0, [(POWER,)]))[-1] == ")  # in the place of cluster.chaos(...)"


def test_each_call_of_each_cluster_gets_its_own_back() -> None:
    drawn = (*drawn_in(0, [(POWER,), (CUT,)]), *drawn_in(1, [(), (POWER, CUT)]))
    for cluster, want in ((0, {0: [POWER], 1: [CUT]}), (1, {1: [POWER, CUT]}), (2, {})):
        given = given_to(cluster, drawn)
        assert {call: list(map(code, faults)) for call, faults in given.items()} == {
            call: list(map(code, faults)) for call, faults in want.items()
        }


def test_a_kept_run_is_what_was_written(tmp_path: Path) -> None:
    kept = Kept("test_a.py::TestB::test_c", 7, drawn_in(0, [(POWER,), (CUT,)]), "2 < 1")
    path = write(tmp_path / "new", kept)
    assert path.name == "test_a.TestB.test_c.7.json"
    assert read(path) == kept


@pytest.mark.parametrize(
    "text", ["", "[]", '{"test": "a", "seed": 1}', '{"test": "a", "seed": 1, "faults": [{}]}']
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="want a file that --primacy-keep has written"):
        read(path)
    with pytest.raises(ConfigError, match=r"none\.json"):
        Cluster([Sound], kept=tmp_path / "none.json")


def test_a_cluster_repeats_a_kept_run(tmp_path: Path, seed: int) -> None:
    def chaotic(**arguments: object) -> Cluster:
        cluster = Cluster([Sound], **arguments)  # type: ignore[arg-type]
        sound = cluster.client().service("sound")
        cluster.every(0.1, lambda: sound.start.add(key="a"))
        for _ in range(2):
            cluster.chaos(4)
            cluster.run(4)
        cluster.check()
        return cluster

    one = chaotic(seed=seed)
    path = write(tmp_path, Kept("test.py::test", seed, drawn_in(0, one.drawn)))
    assert chaotic(kept=path).timeline() == one.timeline()
    calm = chaotic(kept=write(tmp_path, Kept("test.py::calm", seed, ())))
    assert not [line for line in calm.timeline() if "fault" in line and "all faults end" not in line]
