"""What people may call themselves and their channels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storm_gateway.actions import names
from storm_gateway.errors import InvalidRequestError


@pytest.mark.parametrize(
    "text", ["a", "Alice", "a.b_c-d@e+f", "0", "...a", "x" * 64, "a@b.example"]
)
def test_user_ids_of_letters_digits_and_a_few_signs_are_accepted(text: str) -> None:
    assert names.user_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "." * 64,
        "x" * 65,
        "a b",
        "a/b",
        "a\n",
        "é",
        "a\x00",
        "\u0430",
        "a:b",
        "a%2e",
        " a",
    ],
)
def test_other_user_ids_are_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="letters"):
        names.user_id(text)


@given(st.text(max_size=70))
def test_a_user_id_is_accepted_or_refused_and_nothing_else(text: str) -> None:
    try:
        assert names.user_id(text) == text
    except InvalidRequestError:
        assert not names.is_user_id(text)
    else:
        assert text.isascii()
        assert text.strip(".")


def test_names_are_trimmed() -> None:
    assert names.display_name("  Alice Liddell ") == "Alice Liddell"
    assert names.channel_name("\tgardening\n") == "gardening"
    assert names.topic("   ") == ""


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_blank_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match="must not be blank"):
        names.display_name(text)
    with pytest.raises(InvalidRequestError, match="must not be blank"):
        names.channel_name(text)


def test_long_names_are_refused() -> None:
    assert len(names.display_name("x" * 64)) == 64
    with pytest.raises(InvalidRequestError, match="at most 64"):
        names.display_name("x" * 65)
    with pytest.raises(InvalidRequestError, match="at most 80"):
        names.channel_name("x" * 81)
    with pytest.raises(InvalidRequestError, match="at most 250"):
        names.topic("x" * 251)


@pytest.mark.parametrize(
    "character", ["\r", "\n", "\x00", "\x1b", "\x85", "\u2028", "\u2029", "\u202e", "\ud800"]
)
def test_characters_that_forge_lines_or_hide_names_are_refused(character: str) -> None:
    for rule in (names.display_name, names.channel_name, names.topic):
        with pytest.raises(InvalidRequestError, match=r"U\+"):
            rule(f"a{character}b")


def test_emoji_of_several_code_points_are_accepted() -> None:
    assert names.emoji("👩‍🚀") == "👩‍🚀"
    assert names.emoji("+1") == "+1"


@pytest.mark.parametrize("text", ["", " ", "a b", "x" * 33, "a\n"])
def test_other_emoji_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        names.emoji(text)


def test_any_password_of_8_to_128_characters_is_accepted() -> None:
    for text in ("x" * 8, "x" * 128, "\x00" * 8, "пароль-1"):
        assert names.password(text) == text
    for text in ("x" * 7, "x" * 129, ""):
        with pytest.raises(InvalidRequestError, match="8 to 128"):
            names.password(text)
