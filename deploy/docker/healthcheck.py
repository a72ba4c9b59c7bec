#!/usr/bin/env python3
"""Ask the node of this container how it is: ``storm-healthcheck [/healthz | /readyz]``.

Ends with 0 when the answer is 200, else with 1 and the reason on one line, which ``docker inspect``
shows. The image has no curl, and a whole ``storm`` would cost a hundred times as much, every few
seconds on every node.
"""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4.0
"""Below the time-out of the HEALTHCHECK, so that there is a reason to read."""
LONGEST_ANSWER = 500


def main(arguments: list[str]) -> int:
    """``arguments``: the path to ask, ``/healthz`` by default."""
    path = arguments[0] if arguments else "/healthz"
    address = os.environ.get("STORM_ADDR", ":8080")
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 all addresses, so this one too
        host = "127.0.0.1"
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS)
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        said = answer.read(LONGEST_ANSWER).decode("utf-8", "replace").strip()
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"{address}{path}: {type(error).__name__}: {error}")  # noqa: T201
        return 1
    print(f"{answer.status} {said}")  # noqa: T201
    return 0 if answer.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
