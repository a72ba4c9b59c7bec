"""README.fr.md is README.md in French. When one of them changes alone, the check says where."""

import importlib.util
import re
from types import ModuleType

import pytest

from shown import README, ROOT

FRENCH = ROOT / "README.fr.md"


def load() -> ModuleType:
    path = ROOT / "services/gateway/scripts/readme_in_step.py"
    spec = importlib.util.spec_from_file_location("readme_in_step", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load()
ENGLISH_TEXT, FRENCH_TEXT = README.read_text("utf-8"), FRENCH.read_text("utf-8")
HEADINGS = [section.heading for section in check.sections(ENGLISH_TEXT)]


def with_a_word_more(document: str, index: int) -> str:
    """The document with a word at the end of the last paragraph of one section."""
    section = check.sections(document)[index]
    body = section.body.rstrip("\n")
    more = f"{body[:-1]} really{body[-1]}" if not body.endswith("|") else f"{body[:-1]}really |"
    return document.replace(body, more)


def test_both_readmes_say_the_same() -> None:
    assert check.faults(ENGLISH_TEXT, FRENCH_TEXT) == []


@pytest.mark.parametrize("index", range(len(HEADINGS)), ids=HEADINGS)
def test_a_section_that_changed_alone_is_named(index: int) -> None:
    changed = with_a_word_more(ENGLISH_TEXT, index)
    (said,) = check.faults(changed, FRENCH_TEXT)
    assert said.startswith(f"{HEADINGS[index]!r}: the English changed, the French did not.")
    assert f"--renew '{HEADINGS[index]}'" in said
    translated = with_a_word_more(FRENCH_TEXT, index)
    (said,) = check.faults(ENGLISH_TEXT, translated)
    assert said.startswith(f"{HEADINGS[index]!r}: the French changed, the English did not.")
    # Translated and marked anew, they are in step again; marking alone takes both to change.
    assert check.faults(changed, translated)
    assert check.faults(changed, check.renewed(changed, translated, [])) == []
    assert check.faults(changed, check.renewed(changed, FRENCH_TEXT, []))
    by_name = check.renewed(changed, FRENCH_TEXT, [HEADINGS[index]])
    assert check.faults(changed, by_name) == []


def test_a_line_that_is_broken_elsewhere_changes_nothing() -> None:
    broken = ENGLISH_TEXT.replace("written in Python and runs", "written in Python\nand runs")
    assert broken != ENGLISH_TEXT
    assert check.faults(broken, FRENCH_TEXT) == []


def test_code_links_and_blocks_have_their_counterparts() -> None:
    marked = (README, FRENCH)
    assert all(path.exists() for path in marked)
    for old, new, what in (
        ("make run WORKERS=2\n", "make run WORKERS=3\n", "code"),
        ("](docs/web.md)", "](docs/api.md)", "links"),
        ("\n\n## Licence", "\n\nEncore un paragraphe.\n\n## Licence", "blocks"),
        ("\n## Limites", "\n## Encore\n\nUn.\n\n## Limites", "sections"),
        ("[English](README.md) · ", "", "lead"),
    ):
        changed = FRENCH_TEXT.replace(old, new, 1)
        assert changed != FRENCH_TEXT, old
        assert any(what in fault for fault in check.faults(ENGLISH_TEXT, changed)), what


def test_hashes_in_code_are_no_headings() -> None:
    document = re.sub(r"^make run\n", "# a comment\nmake run\n", ENGLISH_TEXT, count=1, flags=re.M)
    assert document != ENGLISH_TEXT
    assert [section.heading for section in check.sections(document)] == HEADINGS
