"""The text of each numbered message: long to guess, cheap to know again.

A text follows from its number alone, so neither the ledger nor the checker keeps any: what comes
back is compared with what that number must say.
"""

_WORDS = (
    "the storm came over the harbour at noon and nobody had closed the windows "
    "«bientôt», schrieb Zoë, скоро, すぐに, 곧, 🌩️ then the lights went out for a while "
    "and everyone wrote to everyone else until the rain was gone "
)
_STRIDE = 7
"""Steps through the words from one text to the next: neighbours differ in every character."""


class Texts:
    """The texts of one run."""

    def __init__(self, run: str, characters: int) -> None:
        """``run``: mark of the run, without blanks. ``characters``: length of a text, at least as
        much as its number needs.
        """
        self._run = run
        self._characters = characters
        self._filler = _WORDS * (characters // len(_WORDS) + 2)

    def text(self, number: int) -> str:
        """What message ``number`` says."""
        head = f"{self._run} {number} "
        start = number * _STRIDE % len(_WORDS)
        rest = max(0, self._characters - len(head))
        # A text never ends with a blank, which somebody might strip.
        return f"{head}{self._filler[start : start + rest]}."

    def number(self, payload: str) -> int:
        """The number of a text; -1 when it is none of this run, or not whole and unchanged."""
        run, _, rest = payload.partition(" ")
        digits = rest.partition(" ")[0]
        if run != self._run or not digits.isascii() or not digits.isdigit() or len(digits) > 12:
            return -1
        number = int(digits)
        return number if self.text(number) == payload else -1
