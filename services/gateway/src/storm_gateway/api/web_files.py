"""The built web client in memory: each file once, with the compressed copies that its build made.

Nothing is looked up on the disk when a request comes, so no path can lead anywhere but to a file
that was there at the start.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

log = logging.getLogger("storm.api")

BUILT = Path(__file__).resolve().parents[1] / "web"
"""Where `npm run build` in frontend/ puts the client."""
PAGE = "index.html"
CODINGS = {"br": ".br", "gzip": ".gz"}
"""Content codings, the better first, and the ends of their files' names."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""Our own: what a system's table says differs from machine to machine."""

_WEIGHT = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z")


class WebFile(msgspec.Struct, frozen=True):
    """One file. ``bodies``: by content coding; ``identity`` is always there."""

    content_type: str
    digest: str
    bodies: dict[str, bytes]

    def chosen(self, accept_encoding: str | None) -> str:
        """The content coding for a request (RFC 9110 § 12.5.3); ``identity`` when none fits."""
        return choose(accept_encoding, self.bodies)

    def etag(self, coding: str) -> str:
        """Strong, so each coding has its own (§ 8.8.3)."""
        return f'"{self.digest}"' if coding == "identity" else f'"{self.digest}-{coding}"'


def read_client(folder: Path) -> dict[str, WebFile]:
    """Every file below the folder by its path with slashes; empty when there is no client.

    Links and what begins with a dot are passed over: neither comes out of a build.
    """
    if not (folder / PAGE).is_file():
        return {}
    paths = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _strange(path, folder)
    }
    found = {}
    for name, path in paths.items():
        plain, dot, end = name.rpartition(".")
        if f"{dot}{end}" in CODINGS.values() and plain in paths:
            continue
        body = path.read_bytes()
        bodies = {"identity": body}
        for coding, ending in CODINGS.items():
            if (packed := paths.get(name + ending)) is not None:
                bodies[coding] = packed.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:32]
        kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
        found[name] = WebFile(kind, digest, bodies)
    if PAGE not in found:
        log.warning("the page in %s is a link: it is not served", folder)
        return {}
    return found


def _strange(path: Path, folder: Path) -> bool:
    below = path.relative_to(folder)
    return any(part.startswith(".") for part in below.parts) or any(
        (folder / step).is_symlink() for step in (below, *below.parents)
    )


def choose(accept_encoding: str | None, available: Iterable[str]) -> str:
    """The coding that the client likes best; among equals the smallest, ``identity`` last."""
    if accept_encoding is None:
        return "identity"
    said: dict[str, float] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        said[name.strip().removeprefix("x-")] = _quality(parameters)
    others = said.get("*")

    def liking(coding: str) -> float:
        if coding in said:
            return said[coding]
        if others is not None:
            return others
        # Acceptable though nobody said so, and behind everything that was said.
        return 0.0001 if coding == "identity" else 0.0

    codings = [each for each in (*CODINGS, "identity") if each in set(available)]
    best = max(codings, key=liking)
    return best if liking(best) > 0 else "identity"


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _WEIGHT.match(value.strip()) else 0.0
    return 1.0
