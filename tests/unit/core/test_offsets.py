from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mljob_operator.core.run.offsets import Offsets

P = ("events", 0)


def test_an_offset_waits_for_the_ones_before_it() -> None:
    offsets = Offsets()
    for offset in (5, 6, 7):
        offsets.read(P, offset)
    offsets.done(P, 6)
    assert offsets.to_commit() == {P: 5}
    offsets.done(P, 5)
    assert offsets.to_commit() == {P: 7}
    offsets.done(P, 7)
    assert offsets.to_commit() == {P: 8}
    assert offsets.to_commit() == {}
    assert offsets.in_flight == 0


def test_a_revoked_partition_is_forgotten() -> None:
    offsets = Offsets()
    offsets.read(P, 5)
    offsets.revoked(P)
    offsets.done(P, 5)
    assert offsets.to_commit() == {}


@given(st.permutations(range(8)), st.integers(0, 8))
def test_the_committed_offset_never_passes_an_unfinished_message(order: list[int], finished: int) -> None:
    offsets = Offsets()
    for offset in range(8):
        offsets.read(P, offset)
    done = set(order[:finished])
    for offset in order[:finished]:
        offsets.done(P, offset)
    position = offsets.to_commit()[P]
    assert all(offset in done for offset in range(position))
    assert position == 8 or position not in done
