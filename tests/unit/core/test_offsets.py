from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mljob_operator.core.run.offsets import MAX_BEHIND, Offsets

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


def test_only_messages_that_are_not_done_are_in_flight() -> None:
    offsets = Offsets()
    offsets.read(P, 0)
    for offset in range(1, 1000):
        offsets.read(P, offset)
        offsets.done(P, offset)
    assert (offsets.in_flight, offsets.to_commit()) == (1, {P: 0})
    offsets.done(P, 0)
    assert (offsets.in_flight, offsets.to_commit()) == (0, {P: 1000})


def test_offsets_without_a_message_are_passed() -> None:
    offsets = Offsets()
    for offset in (3, 7, 20):
        offsets.read(P, offset)
    offsets.done(P, 3)
    assert offsets.to_commit() == {P: 7}
    offsets.done(P, 7)
    offsets.done(P, 20)
    assert offsets.to_commit() == {P: 21}


def test_message_that_is_read_again_before_it_is_done_keeps_its_place() -> None:
    offsets = Offsets()
    for offset in (5, 6, 5, 6):
        offsets.read(P, offset)
    assert (offsets.in_flight, offsets.to_commit()) == (2, {P: 5})
    offsets.done(P, 5)
    offsets.done(P, 5)
    assert offsets.to_commit() == {P: 6}


def test_message_that_is_read_again_does_not_hide_an_earlier_message() -> None:
    offsets = Offsets()
    for offset in (5, 6, 7):
        offsets.read(P, offset)
    offsets.done(P, 6)
    offsets.read(P, 6)
    assert offsets.to_commit() == {P: 5}
    for offset in (5, 6, 7):
        offsets.done(P, offset)
    offsets.read(P, 8)
    assert offsets.to_commit() == {P: 8}


def test_topic_that_was_created_again_is_read_from_its_first_offset() -> None:
    offsets = Offsets()
    offsets.read(P, 900)
    offsets.done(P, 900)
    assert offsets.to_commit() == {P: 901}
    offsets.read(P, 0)
    offsets.done(P, 0)
    assert offsets.to_commit() == {P: 1}


def test_message_that_stays_not_done_holds_back_only_the_newest_messages() -> None:
    offsets = Offsets()
    offsets.read(P, 4)
    offsets.read(P, MAX_BEHIND + 3)
    assert offsets.to_commit() == {P: 4}
    offsets.read(P, MAX_BEHIND + 99)
    assert offsets.to_commit() == {P: 100}


def test_partition_that_is_assigned_again_is_read_from_its_safe_offset() -> None:
    offsets = Offsets()
    for offset in (5, 6):
        offsets.read(P, offset)
    offsets.done(P, 6)
    assert offsets.to_commit() == {P: 5}
    offsets.revoked(P)
    for offset in (5, 6):
        offsets.read(P, offset)
    assert (offsets.in_flight, offsets.to_commit()) == (2, {P: 5})


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
