"""Reads a Dockerfile and a .dockerignore, as much of them as ours use."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class Instruction:
    """One instruction, with its flags (``--from=build``) apart."""

    stage: str
    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The text as a shell splits it."""
        return shlex.split(self.text)


def instructions(text: str) -> list[Instruction]:
    """Every instruction in order. The stage of one before the first FROM is empty."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[Instruction] = []
    stage = ""
    for line in filter(str.strip, joined.splitlines()):
        name, _, rest = line.strip().partition(" ")
        flags = {}
        while flag := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        if name == "FROM":
            stage = rest.split()[-1]
        found.append(Instruction(stage, name, flags, rest.strip()))
    return found


def of(stage: str, *names: str) -> list[Instruction]:
    """The instructions of a stage of our Dockerfile, all or those of these names."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    return [
        each
        for each in instructions(text)
        if each.stage == stage and (not names or each.name in names)
    ]


class Ignore:
    """A .dockerignore: the last pattern that fits a path or a folder above it decides."""

    def __init__(self, text: str) -> None:
        lines = (line.strip() for line in text.splitlines())
        self.patterns = [
            (line.startswith("!"), _expression(line.removeprefix("!").strip("/")))
            for line in lines
            if line and not line.startswith("#")
        ]

    def excludes(self, path: str) -> bool:
        parts = path.split("/")
        names = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        excluded = False
        for brought_back, pattern in self.patterns:
            if any(pattern.fullmatch(name) for name in names):
                excluded = not brought_back
        return excluded


def _expression(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match with ``**``, as the builder understands it."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts))


def context() -> Iterator[str]:
    """What a build is sent of this tree: paths of files, relative to the root."""
    ignore = Ignore((ROOT / ".dockerignore").read_text("utf-8"))
    # Not all of the tree is looked at: nothing comes back below these.
    never = {".git", ".venv", "node_modules", ".storm", "__pycache__"}

    def walk(folder: Path) -> Iterator[str]:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                if path.name not in never:
                    yield from walk(path)
            elif not ignore.excludes(name := str(path.relative_to(ROOT))):
                yield name

    yield from walk(ROOT)
