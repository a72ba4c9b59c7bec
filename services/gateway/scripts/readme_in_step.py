"""The two READMEs say the same: README.md in English, README.fr.md in French.

Below each heading of the French one stands a comment with two marks: of the English section from
which it was translated, and of the translation. A section whose English changed alone, or whose
French changed alone, is told; so is one with other blocks, code or links than its counterpart.

    readme_in_step.py                   looks; status 1 when the two are not in step
    readme_in_step.py --renew           marks what changed on both sides
    readme_in_step.py --renew HEADING   marks this section in any case
"""

import argparse
import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ENGLISH, FRENCH = ROOT / "README.md", ROOT / "README.fr.md"
MARK = re.compile(r"^<!-- in step: en (\w+), fr (\w+) -->\n\n?", re.M)
LANGUAGES = re.compile(r"^.*\[(?:English|Français)\]\(README(?:\.fr)?\.md\).*\n\n?", re.M)
"""The line by which the two lead to each other: the one thing that differs on purpose."""


@dataclass
class Section:
    """A heading with all that stands below it."""

    heading: str
    body: str

    @property
    def marks(self) -> tuple[str, str] | None:
        """What was marked: of the English text and of the French."""
        found = MARK.search(self.body)
        return (found[1], found[2]) if found else None

    @property
    def text(self) -> str:
        return LANGUAGES.sub("", MARK.sub("", self.body))

    @property
    def digest(self) -> str:
        """The same as long as the words are: line breaks do not count."""
        words = " ".join(f"{self.heading}\n{self.text}".split())
        return hashlib.sha256(words.encode()).hexdigest()[:10]

    @property
    def code(self) -> list[str]:
        return re.findall(r"^```.*?^```", self.text, re.M | re.S)

    @property
    def links(self) -> list[str]:
        prose = re.sub(r"^```.*?^```", "", self.text, flags=re.M | re.S)
        return sorted(re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", prose))

    @property
    def blocks(self) -> list[str]:
        """The kinds of its blocks, in order; of lists and tables each item is one."""
        prose = re.sub(r"^```.*?^```", "```", self.text, flags=re.M | re.S)
        kinds = []
        for block in re.split(r"\n\s*\n", prose.strip()):
            first = re.match(r"```|- |\d+\. |\||<|", block)
            kind = first[0] if first else ""
            if kind == "|":
                kinds += ["row"] * block.count("\n")
            elif kind.endswith(" "):
                kinds += ["item"] * len(re.findall(r"^(?:- |\d+\. )", block, re.M))
            else:
                kinds.append({"```": "code", "<": "HTML"}.get(kind, "paragraph"))
        return kinds


def parted(document: str) -> list[tuple[str, str]]:
    """The headings of a README, each with the text below it. Hashes in code are no headings."""
    found: list[tuple[str, list[str]]] = []
    in_code = False
    for line in document.splitlines(keepends=True):
        in_code ^= line.startswith("```")
        heading = None if in_code else re.match(r"#{1,2} (.+)\n", line)
        if heading:
            found.append((line, []))
        else:
            found[-1][1].append(line)
    return [(heading, "".join(lines)) for heading, lines in found]


def sections(document: str) -> list[Section]:
    """The sections of a README; the first is what stands below its title."""
    return [Section(heading.strip("# \n"), body) for heading, body in parted(document)]


def faults(english: str, french: str) -> list[str]:
    """What is not in step, each with the English name of its section."""
    ours, theirs = sections(english), sections(french)
    if len(ours) != len(theirs):
        return [f"README.md has {len(ours)} sections, README.fr.md {len(theirs)}"]
    found = []
    for name, document in (("README.md", english), ("README.fr.md", french)):
        if not LANGUAGES.search(document):
            found.append(f"{name} does not lead to the other language")
    for one, other in zip(ours, theirs, strict=True):
        for what in ("code", "links", "blocks"):
            if getattr(one, what) != getattr(other, what):
                found += [f"{one.heading!r}: other {what} in French ({other.heading!r})"]
        changed = (True, True) if other.marks is None else _changed(one, other, other.marks)
        if told := {
            (True, False): "the English changed, the French did not",
            (False, True): "the French changed, the English did not",
            (True, True): "both changed since they were marked",
        }.get(changed):
            found.append(
                f"{one.heading!r}: {told}. Make {other.heading!r} say the same, then: "
                f"python services/gateway/scripts/readme_in_step.py --renew '{one.heading}'"
            )
    return found


def _changed(english: Section, french: Section, marks: tuple[str, str]) -> tuple[bool, bool]:
    return marks[0] != english.digest, marks[1] != french.digest


def renewed(english: str, french: str, headings: list[str]) -> str:
    """The French README with new marks: of these sections, and of those that changed in both."""
    out = []
    ours, theirs = sections(english), sections(french)
    for one, other, (heading, body) in zip(ours, theirs, parted(french), strict=True):
        if one.heading in headings or other.marks is None or all(_changed(one, other, other.marks)):
            mark = f"<!-- in step: en {one.digest}, fr {other.digest} -->"
            body = f"\n{mark}\n\n{MARK.sub('', body).lstrip()}"
        out.append(heading + body)
    return "".join(out)


def main() -> int:
    ask = argparse.ArgumentParser(description="Whether README.md and README.fr.md say the same.")
    ask.add_argument("--renew", nargs="*", metavar="HEADING", help="mark as translated")
    asked = ask.parse_args()
    english, french = ENGLISH.read_text("utf-8"), FRENCH.read_text("utf-8")
    if asked.renew is not None:
        french = renewed(english, french, asked.renew)
        FRENCH.write_text(french, "utf-8")
    found = faults(english, french)
    sys.stdout.write("\n".join(found or ["README.md and README.fr.md are in step"]) + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
