"""Wrapping: nothing is wider than its column, nothing is lost without an ellipsis, and lines are shared out fairly."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from trajgen.film.wrapping import ELLIPSIS, Ruler, fair_shares, wrapped


def width_of(text: str) -> float:
    """Letters of different widths; none is wider than 7, nor three dots than 9."""
    return sum(7 if c in "mW" else 3 for c in text)


TEXTS = st.text(st.sampled_from("amW .\n"), max_size=80)


@given(TEXTS, st.integers(9, 60), st.integers(1, 12))
def test_every_line_fits_and_there_are_no_more_than_asked_for(text, width, most):
    lines = wrapped(text, width, most, Ruler(width_of))
    assert len(lines) <= most
    assert all(width_of(line) <= width for line in lines)


@given(TEXTS, st.integers(9, 60))
def test_what_has_room_is_told_whole(text, width):
    lines = wrapped(text, width, 1_000, Ruler(width_of))
    assert "".join(lines).replace(" ", "") == text.replace("\n", "").replace(" ", "")


@given(TEXTS, st.integers(9, 60), st.integers(1, 3))
def test_what_has_no_room_ends_in_an_ellipsis(text, width, most):
    assume(len(wrapped(text, width, 1_000, width_of)) > most)
    assert wrapped(text, width, most, width_of)[-1].endswith(ELLIPSIS)


def test_lines_break_at_spaces_and_only_a_long_word_is_cut():
    assert wrapped("aa aaa aaaaaaaa", 15, 9, width_of) == ["aa", "aaa", "aaaaa", "aaa"]


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(0, 200))
def test_shares_use_all_that_is_free_and_differ_by_one_at_most_where_they_are_cut(wanted, free):
    shares = fair_shares(wanted, free)
    assert sum(shares) == min(sum(wanted), free)
    assert all(0 <= share <= want for share, want in zip(shares, wanted, strict=True))
    cut = [share for share, want in zip(shares, wanted, strict=True) if share < want]
    assert not cut or max(shares) <= min(cut) + 1
