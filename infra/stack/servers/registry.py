"""Apicurio Registry through its Confluent-compatible API; ids and versions are kept in PostgreSQL."""

from __future__ import annotations

from infra.stack.server import HOST, Server, http_status


class Registry(Server):
    """It has no users of its own without an identity provider, so it listens on the loopback interface only."""

    name = "registry"
    needs = ("postgres",)

    def prepare(self) -> None:
        pass

    def command(self) -> list[str]:
        return [*self.java(256), "-jar", f"{self.place.cache}/registry/quarkus-run.jar"]

    def environment(self) -> dict[str, str]:
        return {
            "QUARKUS_HTTP_HOST": HOST,
            "QUARKUS_HTTP_PORT": str(self.ports["registry"]),
            "QUARKUS_MANAGEMENT_HOST": HOST,  # default: all interfaces, port 9000
            "QUARKUS_MANAGEMENT_PORT": str(self.ports["registry_management"]),
            "QUARKUS_BANNER_ENABLED": "false",
            "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
            "QUARKUS_LOG_LEVEL": "WARN",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "postgresql",
            "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://{HOST}:{self.ports['postgres']}/registry",
            "APICURIO_DATASOURCE_USERNAME": "registry",
            "APICURIO_DATASOURCE_PASSWORD": self.secrets["postgres_registry"],
            "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "1",
            "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "1",
            "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "8",
        }

    def ready(self) -> bool:
        management = f"http://{HOST}:{self.ports['registry_management']}/health/ready"
        return http_status(management) == 200 and http_status(f"{self.endpoint}/subjects") == 200

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.ports['registry']}/apis/ccompat/v7"
