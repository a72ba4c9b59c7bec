# ruff: noqa: S603, S607 what is started here stands in the repository
"""Builds the image without Docker, and runs it: the very instructions of the Dockerfile, in a layer
over this machine's file system that nobody else sees and that is gone at the end.

So this machine's Debian and Python stand for the base image, and the web client that was built
stands for the stage that builds it. The rest is real: paths, users, modes, the read-only root.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import dockerfile
from dockerfile import ROOT, Instruction

LAYERS = "/mnt"
"""Where the layers are, in a mount namespace of their own: outside it, nothing changes there."""
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WAIT_SECONDS = 60


def cannot() -> str:
    """Why it cannot be done on this machine; empty when it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "layers over the file system need Linux and root"
    for program in ("unshare", "nsenter", "setpriv", "chroot", "useradd"):
        if shutil.which(program) is None:
            return f"there is no {program} on this machine"
    script = (
        "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m"
    )
    tried = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no layers can be mounted here: {tried.stderr.strip()}" if tried.returncode else ""


class Image:
    """What the Dockerfile makes. ``close`` it: it holds memory."""

    def __init__(self, version: str) -> None:
        """Builds it, as ``docker build --build-arg VERSION=…`` would."""
        # It holds the mount namespace until it is ended.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "600"]
        )
        self.arguments = {"VERSION": version, "REVISION": "abc", "CREATED": "2026-01-31"}
        self.environment: dict[str, str] = {"PATH": BASE_PATH}
        try:
            self._wait_for_namespace()
            self._outside(f"mount -t tmpfs -o size=2g none {LAYERS}")
            self._build("build")
            self._build("storm")
            self._seal()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()

    def command(self, words: Sequence[str], **settings: str) -> list[str]:
        """The command line that runs ``words`` as a container does, with these variables."""
        variables = self.environment | settings
        (user,) = [each.text for each in dockerfile.of("storm", "USER")]
        uid, _, gid = user.partition(":")
        return [
            *self._enter,
            *("chroot", f"{LAYERS}/storm/root"),
            *("setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *("env", "-i", f"--chdir={self.folder}"),
            *(f"{name}={value}" for name, value in variables.items()),
            *words,
        ]

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(words, **settings), capture_output=True, text=True, check=False
        )

    @property
    def folder(self) -> str:
        """The last WORKDIR."""
        return dockerfile.of("storm", "WORKDIR")[-1].text

    @property
    def _enter(self) -> list[str]:
        return ["nsenter", f"--target={self._holder.pid}", "--mount"]

    def _wait_for_namespace(self) -> None:
        until = time.monotonic() + WAIT_SECONDS
        own = Path("/proc/self/ns/mnt").readlink()
        while Path(f"/proc/{self._holder.pid}/ns/mnt").readlink() == own:
            assert time.monotonic() < until
            time.sleep(0.01)

    def _outside(self, script: str) -> None:
        ran = subprocess.run(
            [*self._enter, "sh", "-eu"], input=script, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"

    def _inside(self, stage: str, folder: str, script: str) -> None:
        """As the builder does: by root, with the network, in the stage's file system."""
        hidden = ("STORM_", "COVERAGE", "VIRTUAL_ENV", "PYTHON", "PYTEST", "UV_")
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(hidden)
        }
        arguments = {
            name: self.arguments[name]
            for name in (each.text.partition("=")[0] for each in dockerfile.of(stage, "ARG"))
        }
        environment = variables | arguments | {"PATH": BASE_PATH}
        ran = subprocess.run(
            [
                *self._enter,
                *("chroot", f"{LAYERS}/{stage}/root", "env", f"--chdir={folder}"),
                *("sh", "-euc", script),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}{ran.stderr}"

    def _build(self, stage: str) -> None:
        base = f"{LAYERS}/{stage}"
        self._outside(
            f"mkdir -p {base}/upper {base}/work {base}/root && mount -t overlay overlay "
            f"-o lowerdir=/,upperdir={base}/upper,workdir={base}/work {base}/root && "
            f"for each in proc dev; do mount --rbind /$each {base}/root/$each; done"
        )
        # What a base image has: a command `python`, for all users. And nothing of ours.
        python = f"{sys.prefix}/bin/python"
        reachable = " ".join(map(str, Path(sys.base_prefix).parents))
        self._inside(
            stage,
            "/",
            f"chmod o+x {reachable}; rm -rf /opt/storm /tools /dist /src /var/lib/storm\n"
            f"printf '#!/bin/sh\\nexec {python} \"$@\"\\n' > /usr/local/bin/python\n"
            "chmod 755 /usr/local/bin/python",
        )
        folder = "/"
        for each in dockerfile.of(stage):
            match each.name:
                case "WORKDIR":
                    folder = each.text
                    self._inside(stage, "/", f"mkdir -p {folder}")
                case "COPY":
                    self._copy(each, folder)
                case "RUN":
                    self._inside(stage, folder, each.text)
                case "ENV" if stage == "storm":
                    for name, _, value in (word.partition("=") for word in each.words):
                        self.environment[name] = value.replace("$PATH", BASE_PATH)

    def _copy(self, each: Instruction, folder: str) -> None:
        *sources, target = each.words
        root = f"{LAYERS}/{each.stage}/root"
        into = target if target.startswith("/") else f"{folder}/{target}"
        if each.flags.get("from") == "client":
            origin = str(ROOT / "services/gateway/src/storm_gateway/web")
            self._outside(f"mkdir -p {root}{into} && cp -r {origin}/. {root}{into}")
            return
        if stage := each.flags.get("from"):
            (source,) = sources
            self._outside(
                f"mkdir -p {root}{into} && cp -r {LAYERS}/{stage}/root{source}/. {root}{into}"
            )
            return
        script = []
        mode = each.flags.get("chmod", "0644")
        sent = list(dockerfile.context())
        for source in sources:
            folder_of_source = source.rstrip("/") + "/"
            for name in sent:
                if name == source:
                    to = f"{into}/{Path(name).name}" if target.endswith("/") else into
                elif name.startswith(folder_of_source):
                    to = f"{into}/{name.removeprefix(folder_of_source)}"
                else:
                    continue
                script.append(f"install -D --mode {mode} '{ROOT / name}' '{root}{to}'")
        self._outside("\n".join(script))

    def _seal(self) -> None:
        """As ``docker run --read-only`` does: only volumes can be written."""
        root = f"{LAYERS}/storm/root"
        script = []
        for each in dockerfile.of("storm", "VOLUME"):
            volume = f"{LAYERS}/volumes{each.text}"
            script += [
                f"mkdir -p $(dirname {volume})",
                f"cp -a {root}{each.text} {volume}",
                f"mount --bind {volume} {root}{each.text}",
            ]
        self._outside("; ".join([*script, f"mount -o remount,ro {root}"]))
