"""SeaweedFS's S3 gateway with its master, volume server and filer in one process."""

from __future__ import annotations

import json

from infra.stack import install, state
from infra.stack.server import HOST, Server, http_status

_ROLES = ("master", "volume", "filer", "admin")


class S3(Server):
    """Identities with rights of their own; the filer's port, which knows no object lock, answers only who has our keys."""

    name = "s3"

    def prepare(self) -> None:
        self.data.mkdir(exist_ok=True, mode=0o700)
        identities = [
            {
                "name": name,
                "credentials": [{"accessKey": name, "secretKey": self.secrets[f"s3_{name}"]}],
                "actions": self._actions(name),
            }
            for name in state.S3_IDENTITIES
        ]
        state.private(self.place.directory / "s3.json", json.dumps({"identities": identities}, indent=1))

    def _actions(self, identity: str) -> list[str]:
        rights = {
            "admin": [],
            "archive": ["Read", "Write", "List"],
            "export": ["Read", "Write", "List"],
            "reader": ["Read", "List"],
            "operator": ["Read", "List"],
        }[identity]
        suffix = "extracts" if identity == "export" else "archive"
        buckets = [bucket(namespace, suffix) for namespace in self.place.namespaces]
        return ["Admin"] if identity == "admin" else [f"{right}:{name}" for name in buckets for right in rights]

    def command(self) -> list[str]:
        argv = [str(install.weed()), "-logtostderr", "-v=-1", "mini", f"-dir={self.data}", f"-ip={HOST}", f"-ip.bind={HOST}"]
        argv += ["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
        argv += ["-s3.autoCreateBucket=false", f"-s3.config={self.place.directory}/s3.json", f"-s3.port={self.ports['s3']}"]
        argv += [f"-{role}.port={self.ports[role]}" for role in _ROLES]
        return argv + [f"-{role}.port.grpc={self.ports[role + '_grpc']}" for role in ("s3", *_ROLES)]

    def environment(self) -> dict[str, str]:
        return {
            "WEED_JWT_SIGNING_KEY": self.secrets["jwt_volume"],
            "WEED_JWT_SIGNING_READ_KEY": self.secrets["jwt_volume_read"],
            "WEED_JWT_FILER_SIGNING_KEY": self.secrets["jwt_filer"],
            "WEED_JWT_FILER_SIGNING_READ_KEY": self.secrets["jwt_filer_read"],
        }

    def ready(self) -> bool:
        return http_status(self.endpoint + "/") == 403

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['s3']}"


def bucket(namespace: str, suffix: str) -> str:
    """Name of a namespace's bucket; buckets cannot have underscores."""
    return f"{namespace.replace('_', '-')}-{suffix}"
