"""The site of the documents installs from its lock alone, and CI builds it."""

import json
import re
from typing import Any

import pytest

from shown import ROOT

LOCKS = ("site/package-lock.json", "frontend/package-lock.json")


def packages(lock: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / lock).read_text("utf-8"))["packages"]
    return found


def is_there(name: str, whose: str, locked: dict[str, Any]) -> bool:
    """Whether Node would find it from the package at this path."""
    parts = whose.split("/node_modules/") if whose else []
    above = ["/node_modules/".join(parts[:count]) for count in range(len(parts), -1, -1)]
    return any(f"{place}/node_modules/{name}".lstrip("/") in locked for place in above)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_its_packages_ask_for_on_every_platform(lock: str) -> None:
    locked = packages(lock)
    missing = [
        f"{whose}: {name}"
        for whose, package in locked.items()
        for kind in ("dependencies", "optionalDependencies", "devDependencies")
        for name in package.get(kind, {})
        if (kind != "devDependencies" or whose == "") and not is_there(name, whose, locked)
    ]
    assert missing == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_hashes_and_names_no_host(lock: str) -> None:
    for place, package in packages(lock).items():
        # What is bundled comes with the hash of what holds it.
        if place and not package.get("inBundle"):
            assert package["integrity"].startswith("sha"), place
            assert "resolved" not in package, place


def test_check_builds_the_site_and_docs_does_too() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for verb in ("check", "docs"):
        recipe = re.search(rf"^{verb}:.*\n((?:\t.*\n)+)", makefile, re.M)
        assert recipe is not None
        assert "$(MAKE) --no-print-directory site" in recipe[1]
    assert "node check.mjs ../build/site" in makefile
