# ruff: noqa: S603, T201 our own command lines; what is done is said
"""Make what a release consists of: ``release.py FOLDER``, ``make dist``. What each is for:
docs/releases.md.

A wheel with the web client, the source distribution, two bills of materials (what the wheel needs
from Python, and what the web client was made of), and the checksums of all. The same commit gives
the same files.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from changelog import CHANGELOG, ROOT, faults, notes
from packaging.version import Version

GATEWAY = ROOT / "services/gateway"
FRONTEND = ROOT / "frontend"
PAGE = GATEWAY / "src/storm_gateway/web/index.html"


def ran(*words: str, folder: Path = ROOT) -> str:
    """What a command prints. Ends everything with its complaint when it fails."""
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"{words[0]} is needed, and is not on this machine") from None
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def python_bill(version: str) -> str:
    """CycloneDX of what `pip install storm-gateway` brings at the versions that were tested."""
    bill = json.loads(
        ran(
            *(sys.executable, "-m", "cyclonedx_py", "requirements", "requirements.lock"),
            *("--pyproject", "pyproject.toml", "--mc-type", "application"),
            *("--output-reproducible", "--output-format", "JSON", "--spec-version", "1.6"),
            folder=GATEWAY,
        )
    )
    bill["metadata"]["component"]["version"] = version
    return json.dumps(bill, indent=2, ensure_ascii=False) + "\n"


def web_bill(version: str) -> str:
    """CycloneDX of what the web client was made of."""
    bill = json.loads(
        ran(
            *("npm", "sbom", "--package-lock-only"),
            *("--sbom-format", "cyclonedx", "--sbom-type", "application"),
            folder=FRONTEND,
        )
    )
    # npm would leave out what both the client and its tools need: the lock knows better.
    lock = json.loads((FRONTEND / "package-lock.json").read_text(encoding="utf-8"))
    shipped = {
        f"{path.rpartition('node_modules/')[2]}@{package['version']}"
        for path, package in lock["packages"].items()
        if path and not package.get("dev") and not package.get("devOptional")
    }
    bill["components"] = [
        each for each in bill["components"] if f"{each['name']}@{each['version']}" in shipped
    ]
    kept = {each["bom-ref"] for each in bill["components"]}
    about = bill["metadata"]["component"]
    bill["dependencies"] = [
        each | {"dependsOn": [other for other in each["dependsOn"] if other in kept]}
        for each in bill["dependencies"]
        if each["ref"] in kept or each["ref"] == about["bom-ref"]
    ]
    about |= {"name": "storm-web", "version": version}
    # They differ at each call, and say nothing.
    bill.pop("serialNumber", None)
    bill["metadata"].pop("timestamp", None)
    return json.dumps(bill, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """``arguments``: the folder, emptied before. Refuses a release that the changelog does not
    know, and one without its web client.
    """
    text = CHANGELOG.read_text(encoding="utf-8")
    if wrong := faults(text, []):
        raise SystemExit("\n".join(f"CHANGELOG.md: {fault}" for fault in wrong))
    if not PAGE.is_file():
        raise SystemExit("there is no web client: make client")
    version = ran(sys.executable, "-m", "hatchling", "version", folder=GATEWAY)
    if not Version(version).is_devrelease:
        try:
            notes(text, version)
        except ValueError as error:
            raise SystemExit(str(error)) from None
    if (ROOT / ".git").exists():
        # The time that stands in archives: that of the commit.
        os.environ.setdefault("SOURCE_DATE_EPOCH", ran("git", "log", "-1", "--format=%ct"))
    dist = Path(arguments[0] if arguments else ROOT / "dist").resolve()
    dist.mkdir(parents=True, exist_ok=True)
    for old in dist.iterdir():
        old.unlink()
    build = (sys.executable, "-m", "hatchling", "build", "--directory", str(dist))
    ran(*build, "--target", "sdist", "--target", "wheel", folder=GATEWAY)
    (dist / f"storm_gateway-{version}.cdx.json").write_text(python_bill(version), encoding="utf-8")
    (dist / f"storm-web-{version}.cdx.json").write_text(web_bill(version), encoding="utf-8")
    made = sorted(dist.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in made]
    (dist / "SHA256SUMS").write_text("\n".join(sums) + "\n", encoding="ascii")
    print(f"STORM {version} in {dist}:")
    for path in made:
        print(f"  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
