"""What was used lately is remembered; what was not is let go."""

from storm_gateway.actions.lately import Lately


def test_what_nobody_asks_for_is_gone_after_two_turns() -> None:
    lately = Lately[str, int](100)
    lately.put("used", 1)
    lately.put("unused", 2)
    lately.turn()
    assert lately.get("used") == 1
    lately.turn()
    assert (lately.get("used"), lately.get("unused")) == (1, None)
    lately.turn()
    lately.turn()
    assert (lately.get("used"), len(lately)) == (None, 0)


def test_there_are_never_more_than_the_size() -> None:
    lately = Lately[int, int](10)
    for number in range(100):
        lately.put(number, number)
        assert len(lately) <= 10
        assert lately.get(number) == number
    assert lately.get(98) == 98
    assert lately.get(50) is None


def test_an_entry_that_is_forgotten_is_gone_at_once_whatever_its_age() -> None:
    lately = Lately[str, int](10)
    lately.put("old", 1)
    lately.turn()
    lately.put("young", 2)
    for key in ("old", "young", "nobody"):
        lately.forget(key)
        assert lately.get(key) is None
    lately.put("again", 3)
    lately.clear()
    assert len(lately) == 0
