"""Kafka and Redis that let in only who has a key: TLS, passwords and rights, as in production.

Each has a plain back door on the loopback interface for the test itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from stream_app.local import LocalKafka, LocalValkey
from stream_app.local.server import HOST, free_port
from tests.authorities import Authority

USER = "worker"


class GuardedKafka(LocalKafka):
    """Listeners: SASL_SSL on `sasl`, mutual TLS on `mutual`. `USER` has the rights that `grant` gives, others none."""

    def __init__(self, folder: Path, authority: Authority, certificate: tuple[Path, Path], password: str) -> None:
        self._ca, self._certificate, self._password = authority.file, certificate, password
        self._sasl_port, self._mutual_port = free_port(), free_port()
        super().__init__(folder)

    @property
    def sasl(self) -> str:
        return f"{HOST}:{self._sasl_port}"

    @property
    def mutual(self) -> str:
        return f"{HOST}:{self._mutual_port}"

    def _properties(self) -> dict[str, object]:
        base = super()._properties()
        ours = f"SASL://{self.sasl},MUTUAL://{self.mutual}"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        cert, key = (path.read_text().replace("\n", "\\n") for path in self._certificate)
        return {
            **base,
            "listeners": f"{base['listeners']},{ours}",
            "advertised.listeners": f"{base['advertised.listeners']},{ours}",
            "listener.security.protocol.map": f"{base['listener.security.protocol.map']},SASL:SASL_SSL,MUTUAL:SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": cert,
            "ssl.keystore.key": key,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": self._ca.read_text().replace("\n", "\\n"),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
            "listener.name.sasl.plain.sasl.jaas.config": f'{plain} required user_{USER}="{self._password}";',
            "listener.name.sasl.scram-sha-512.sasl.jaas.config": f"{scram} required;",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    def admit(self, group: str) -> None:
        """The password for SCRAM, and the rights of a worker on everything whose name begins with the group's."""
        from confluent_kafka.admin import (
            AclBinding,
            AclOperation,
            AclPermissionType,
            AdminClient,
            ResourcePatternType,
            ResourceType,
            ScramCredentialInfo,
            ScramMechanism,
            UserScramCredentialUpsertion,
        )

        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(USER, info, self._password.encode())
        asked = admin.alter_user_scram_credentials([change])
        wanted = {
            ResourceType.TOPIC: ("READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS"),
            ResourceType.GROUP: ("READ", "DESCRIBE"),
        }
        bindings = [
            AclBinding(
                kind,
                group,
                ResourcePatternType.PREFIXED,
                f"User:{USER}",
                "*",
                AclOperation[name],
                AclPermissionType.ALLOW,
            )
            for kind, names in wanted.items()
            for name in names
        ]
        for future in [*asked.values(), *admin.create_acls(bindings).values()]:
            future.result(30)


class GuardedRedis(LocalValkey):
    """TLS on `tls_port`; the users of an ACL file. The plain port asks for the same passwords."""

    def __init__(
        self,
        folder: Path,
        binary: Path,
        authority: Authority,
        certificate: tuple[Path, Path],
        users: str,
        *,
        mutual: bool = False,
    ) -> None:
        super().__init__(folder, binary=binary)
        self._authority, self._certificate, self._users, self._mutual = authority, certificate, users, mutual
        self.tls_port = free_port()

    @property
    def tls_url(self) -> str:
        return f"rediss://{HOST}:{self.tls_port}/0"

    def _argv(self) -> Sequence[str]:
        users = self.folder / "users.acl"
        users.write_text(self._users)
        cert, key = self._certificate
        options: dict[str, Any] = {
            "tls-port": self.tls_port,
            "tls-cert-file": cert,
            "tls-key-file": key,
            "tls-ca-cert-file": self._authority.file,
            "tls-auth-clients": "yes" if self._mutual else "no",
            "aclfile": users,
        }
        return [*super()._argv(), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]

    def _answers(self) -> bool:
        with redis.Redis(port=self.port, socket_timeout=2) as client:
            try:
                client.ping()
            except redis.AuthenticationError:
                return True
            except redis.RedisError:
                return False
            return True
