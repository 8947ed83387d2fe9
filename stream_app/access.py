"""How this project's clients prove who they are to Kafka and Redis, and make sure whom they talk to.

Certificates and host names are always verified.
"""

import ssl
from typing import Any

from pydantic_settings import SettingsError

from stream_app.settings import Kafka, Redis, Settings, Tls


def kafka_options(kafka: Kafka) -> dict[str, Any]:
    """Arguments that kafka-python and aiokafka have in common. Raises `SettingsError` for files that cannot be used."""
    security = kafka.security
    options: dict[str, Any] = {"security_protocol": security.protocol}
    if security.encrypted:
        options["ssl_context"] = tls_context(security, "kafka.security")
    if security.by_password:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password.get_secret_value(),
        }
    return options


def tls_context(tls: Tls, where: str) -> ssl.SSLContext:
    """A client's context: TLS 1.2 at least, our CA or else the system's, and our certificate if there is one.

    Raises `SettingsError`, which names the section `where`.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.cert_file:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.cert_file, tls.key_file, tls.key_password.get_secret_value())
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        raise SettingsError(
            f"{where}: the certificate files cannot be used ({type(problem).__name__}: {problem}): ca_file "
            f"{tls.ca_file}, cert_file {tls.cert_file}, key_file {tls.key_file}; check that they are PEM, can be read, "
            "belong together, and that key_password opens the key"
        ) from problem
    return context


def redis_options(redis: Redis) -> dict[str, Any]:
    """Arguments of `from_url` beside the URL, for every client of redis-py. Raises `SettingsError`."""
    options: dict[str, Any] = {}
    if redis.username:
        options["username"] = redis.username
    if redis.password.get_secret_value():
        options["password"] = redis.password.get_secret_value()
    if redis.encrypted:
        tls_context(redis.tls, "redis.tls")  # redis-py makes its own, later, and says less when it cannot
        options["ssl_min_version"] = ssl.TLSVersion.TLSv1_2
        files = {"ssl_ca_certs": redis.tls.ca_file, "ssl_certfile": redis.tls.cert_file}
        files["ssl_keyfile"] = redis.tls.key_file
        options |= {name: str(path) for name, path in files.items() if path}
        if redis.tls.cert_file:
            options["ssl_password"] = redis.tls.key_password.get_secret_value()
    return options


def reader_options(settings: Settings) -> dict[str, Any]:
    """Arguments of the readers in `stream_app.client` beside the URL and the generation. Raises `SettingsError`."""
    redis = settings.redis
    return {
        "cluster": redis.cluster,
        "pseudonym_key": settings.pseudonym_key.get_secret_value(),
        "socket_timeout": redis.timeout_s,
        **redis_options(redis),
    }


def mend_of_redis(error: Exception, otherwise: str) -> str:
    """What to do about an error of a Redis client: about who lets whom in, or else what is given."""
    from redis.exceptions import AuthenticationError  # late: kafka's commands do without this package

    if is_refusal(error):
        return "check INTEREST_REDIS__TLS__CA_FILE, and the names and the dates in the certificates"
    if isinstance(error, AuthenticationError):
        return "check INTEREST_REDIS__USERNAME and INTEREST_REDIS__PASSWORD"
    return otherwise


def is_refusal(error: BaseException) -> bool:
    """Is it a certificate that one side does not accept? Waiting does not mend that, unlike a server that is away."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError) and any(word in str(seen).upper() for word in ("CERT", "UNKNOWN CA")):
            return True
        seen = seen.__cause__ or seen.__context__
    return "certificate" in str(error).lower()
