"""What keeps the stack safe, each switched off once, to see that it is this that does it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError

from infra.stack import Stack
from infra.stack.servers.s3 import S3
from infra.stack.stack import CHECKOUT
from tests.integration.test_stack import s3
from tests.waiting import until

PARENT = """
import subprocess, sys, time
from infra.stack import child
argv = ["sleep", "600"]
process = subprocess.Popen(child.wrapped(argv) if sys.argv[1] == "wrapped" else argv)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["wrapped", "bare"])
def test_a_wrapped_child_ends_with_its_parent(how: str) -> None:
    command = [sys.executable, "-c", PARENT, how]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        sleeper = psutil.Process(int(parent.stdout.readline()))
        until(lambda: sleeper.name() == "sleep", 20)
        parent.kill()
    if how == "wrapped":
        sleeper.wait(10)
    else:
        with pytest.raises(psutil.TimeoutExpired):
            sleeper.wait(0.5)
        os.kill(sleeper.pid, signal.SIGKILL)


class WithoutKeys(S3):
    """SeaweedFS as it comes: the filer's port is open to everybody."""

    def environment(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize("server", [S3, WithoutKeys])
def test_a_locked_object_is_safe_from_the_filers_port_because_of_the_keys(tmp_path: Path, server: type[S3]) -> None:
    stack = Stack(tmp_path / "stack", names=["s3"])
    stack.servers["s3"] = server(stack.place)
    with stack:
        client = s3(stack, "admin")
        client.create_bucket(Bucket="audit-archive", ObjectLockEnabledForBucket=True)
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": "2100-01-01T00:00:00Z"}
        client.put_object(Bucket="audit-archive", Key="a", Body=b"1", **lock)  # type: ignore[arg-type]
        url = f"http://127.0.0.1:{stack.state.ports['filer']}/buckets/audit-archive/a.versions?recursive=true"
        request = urllib.request.Request(url, method="DELETE")
        if server is S3:
            with pytest.raises(urllib.error.HTTPError, match="401"), urllib.request.urlopen(request):
                pass
            assert client.get_object(Bucket="audit-archive", Key="a")["Body"].read() == b"1"
        else:
            urllib.request.urlopen(request).close()
            with pytest.raises(ClientError):
                client.get_object(Bucket="audit-archive", Key="a")
