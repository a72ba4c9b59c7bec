"""nginx with what the Ingress of deploy/kubernetes/ asks the controller ingress-nginx for.

There is no controller here. What it writes for an Ingress is known: each annotation becomes a
directive, and what it sets by itself stands below, as in its template and its defaults. Both are
put into the file of deploy/proxies/nginx/ in the place of what stands there.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from kubernetes_objects import of_kind
from kustomizing import KUBERNETES, render
from proxy_process import Proxy

PREFIX = "nginx.ingress.kubernetes.io/"
BY_ITSELF = {
    # Its defaults; the annotations are written over them.
    "proxy_read_timeout": "60s",
    "proxy_send_timeout": "60s",
    "proxy_connect_timeout": "5s",
    "proxy_buffering": "off",
    "proxy_request_buffering": "on",
    "proxy_next_upstream": "error timeout",
    "proxy_next_upstream_timeout": "0",
    "client_max_body_size": "1m",
}
DIRECTIVES = {
    "proxy-read-timeout": ("proxy_read_timeout", "{}s"),
    "proxy-send-timeout": ("proxy_send_timeout", "{}s"),
    "proxy-http-version": ("proxy_http_version", "{}"),
    "proxy-buffering": ("proxy_buffering", "{}"),
    "proxy-body-size": ("client_max_body_size", "{}"),
}
REDIRECT = "ssl-redirect"
"""Port 80 leads to TLS, as in the file."""


def annotations() -> dict[str, str]:
    """What the Ingress with the way to the nodes says to the controller."""
    (ingress,) = (
        found
        for found in of_kind(render(KUBERNETES / "overlays/production-ingress"), "Ingress")
        if found["metadata"]["name"] == "storm"
    )
    return {
        name.removeprefix(PREFIX): str(value)
        for name, value in ingress["metadata"]["annotations"].items()
        if name.startswith(PREFIX)
    }


def directives(asked: dict[str, str]) -> dict[str, str]:
    """Raises ``KeyError`` for an annotation that nobody here knows."""
    found = dict(BY_ITSELF)
    for name, value in asked.items():
        if name != REDIRECT:
            directive, form = DIRECTIVES[name]
            found[directive] = form.format(value)
    return found


@dataclass
class Ingress(Proxy):
    """``faster``: how much faster the clock of a test is, for the times that are about silence."""

    asked: dict[str, str] = field(default_factory=annotations)
    faster: int = 1

    def _write(self, source: str, changes: dict[str, str]) -> Path:
        path = super()._write(source, changes)
        text = path.read_text("utf-8")
        for name, value in directives(self.asked).items():
            if name in ("proxy_read_timeout", "proxy_send_timeout"):
                value = f"{int(value.removesuffix('s')) * 1000 // self.faster}ms"
            text, count = re.subn(rf"^( *{name}) [^;]+;", rf"\1 {value};", text, flags=re.M)
            if count != 1:
                raise RuntimeError(f"deploy/proxies/{source} does not say once: {name}")
        path.write_text(text, "utf-8")
        return path
