"""Texts are known again, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.audit.texts import Texts


@given(st.integers(0, 10**9), st.integers(1, 4_000))
def test_every_text_is_known_by_its_number(number: int, characters: int) -> None:
    texts = Texts("a1b2", characters)
    text = texts.text(number)
    assert texts.number(text) == number
    assert text == text.strip()
    assert len(text) <= max(characters + 1, 20)


@given(st.text())
def test_any_other_text_is_strange(payload: str) -> None:
    assert Texts("a1b2", 40).number(payload) == -1


@pytest.mark.parametrize("change", ["{}x", "x{}", "{} ", ""])
def test_a_changed_text_is_strange(change: str) -> None:
    texts = Texts("a1b2", 80)
    assert texts.number(change.format(texts.text(7))) == -1


def test_a_text_cut_short_or_of_another_run_is_strange() -> None:
    texts = Texts("a1b2", 80)
    assert texts.number(texts.text(7)[:-1]) == -1
    assert Texts("ffff", 80).number(texts.text(7)) == -1
    assert texts.number("a1b2 " + "9" * 5_000) == -1


def test_neighbours_differ_in_more_than_their_number() -> None:
    texts = Texts("a1b2", 80)
    assert texts.text(1).split(" ", 2)[2] != texts.text(2).split(" ", 2)[2]
