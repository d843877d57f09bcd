"""Apache Kafka, one node: KRaft, SCRAM users, ACLs on. Only ``admin`` may do anything until `auditwired migrate` grants it."""

from __future__ import annotations

import base64
import hashlib
import secrets
import shutil
from pathlib import Path

from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from infra.stack import state
from infra.stack.server import HOST, TEMPLATES, Server, fill

ITERATIONS = 4096


class Kafka(Server):
    """SASL_PLAINTEXT with SCRAM-SHA-512 on the loopback interface."""

    name = "kafka"

    def prepare(self) -> None:
        values = {
            "directory": self.data,
            "kafka": self.ports["kafka"],
            "advertised": self.place.advertised.get("kafka", self.ports["kafka"]),
            "controller": self.ports["kafka_controller"],
            "admin_password": self.secrets["kafka_admin"],
            "controller_password": self.secrets["kafka_controller"],
        }
        state.private(Path(self._config), fill("kafka.properties", values))
        if not (self.data / "meta.properties").exists():
            shutil.rmtree(self.data, ignore_errors=True)
            self._format()

    def _format(self) -> None:
        """Users go in salted and hashed: arguments can be read by everybody on the machine."""
        users = [a for user in state.KAFKA_USERS for a in ("--add-scram", self._scram(user))]
        java = [a for a in self._java() if "SharedArchive" not in a]
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={self.place.state.cluster_id}", "-c", self._config]
        self.run([*java, *tool, *users])

    def _scram(self, user: str) -> str:
        salt = secrets.token_bytes(16)
        salted = hashlib.pbkdf2_hmac("sha512", self.secrets[f"kafka_{user}"].encode(), salt, ITERATIONS)
        values = f'salt="{base64.b64encode(salt).decode()}",saltedpassword="{base64.b64encode(salted).decode()}"'
        return f"SCRAM-SHA-512=[name={user},iterations={ITERATIONS},{values}]"

    def _java(self) -> list[str]:
        log = f"-Dlog4j2.configurationFile={TEMPLATES}/log4j2.properties"
        return [*self.java(512), log, "-cp", f"{self.place.cache}/kafka/*"]

    @property
    def _config(self) -> str:
        return str(self.place.directory / "kafka.properties")

    def command(self) -> list[str]:
        return [*self._java(), "kafka.Kafka", self._config]

    def client(self, user: str) -> dict[str, object]:
        """Client settings of librdkafka for ``user``."""
        return {
            "bootstrap.servers": self.endpoint,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.secrets[f"kafka_{user}"],
        }

    def ready(self) -> bool:
        quiet = {"log_level": 0, "error_cb": lambda _: None, "reconnect.backoff.max.ms": 200}
        return bool(AdminClient({**self.client("admin"), **quiet}).list_topics(timeout=1).brokers)

    def settle(self) -> None:
        """Users that a newer release needs are added to a cluster that was formatted without them."""
        admin = AdminClient({**self.client("admin"), "log_level": 0})
        have = admin.describe_user_scram_credentials().result(15)
        new = [
            UserScramCredentialUpsertion(
                user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS), self.secrets[f"kafka_{user}"].encode()
            )
            for user in state.KAFKA_USERS
            if user not in have
        ]
        for done in admin.alter_user_scram_credentials(new).values() if new else ():
            done.result(15)

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.ports['kafka']}"
