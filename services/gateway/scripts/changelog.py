"""The form of CHANGELOG.md, which releases count on (docs/releases.md)."""

import re
from datetime import date
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parents[3]
CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "Unreleased"
DASH = "\N{EN DASH}"


def sections(text: str) -> dict[str, tuple[str, str]]:
    """Version → what stands behind it (a date, or ``Unreleased``), and the text below, in order."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = {}
    for part in parts:
        heading, _, body = part.partition("\n")
        version, _, when = heading.partition(f" {DASH} ")
        found[version] = (when.strip(), body.strip())
    return found


def notes(text: str, version: str) -> str:
    """What the changelog says about a released version. Raises ``ValueError`` when it does not."""
    when, body = sections(text).get(version, ("", ""))
    if not body or when == UNRELEASED:
        raise ValueError(
            f"CHANGELOG.md has no section for {version} with a date: "
            f"'## {version} {DASH} YYYY-MM-DD'"
        )
    return body


def faults(text: str, tags: list[str]) -> list[str]:
    """What is wrong with a changelog, as sentences. ``tags``: of versions, such as ``v1.2.3``."""
    found = sections(text)
    wrong = [] if found else ["there is no version"]
    versions: list[Version] = []
    dates: list[date] = []
    for index, (name, (when, body)) in enumerate(found.items()):
        try:
            versions.append(Version(name))
        except InvalidVersion:
            wrong.append(f"{name} is no version")
            continue
        if when == UNRELEASED:
            if index:
                wrong.append(f"{name}: only the newest version may be unreleased")
        else:
            try:
                dates.append(date.fromisoformat(when))
            except ValueError:
                wrong.append(f"{name}: {when!r} is no date (YYYY-MM-DD) and not {UNRELEASED!r}")
        if not re.search(r"^- \S", body, re.MULTILINE):
            wrong.append(f"{name}: nothing is said about it")
    if versions != sorted(versions, reverse=True) or dates != sorted(dates, reverse=True):
        wrong.append("the newest version does not come first")
    for tag in tags:
        name = tag.removeprefix("v")
        if name not in found:
            wrong.append(f"{tag} is tagged and has no section")
        elif found[name][0] == UNRELEASED:
            wrong.append(f"{tag} is tagged and said to be unreleased")
    return wrong
