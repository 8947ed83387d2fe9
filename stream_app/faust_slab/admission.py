"""A broker that no longer lets this worker in.

A password is changed or a certificate runs out while a worker runs: its connections live on until one is made anew.
aiokafka takes the refusal for a broker that is away, and asks again for ever.
"""

from typing import Any

from aiokafka import client as aiokafka_client
from aiokafka.conn import create_conn
from aiokafka.errors import IllegalSaslStateError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from stream_app.access import is_refusal
from stream_app.contracts.errors import StopWorker
from stream_app.faust_slab.fatal import stop_process

_REFUSALS = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)


def stop_when_refused() -> None:
    """From now on this process ends when a broker refuses a connection, or cannot prove which one it is."""
    aiokafka_client.create_conn = _connect


async def _connect(host: str, port: int, **options: Any) -> Any:
    try:
        return await create_conn(host, port, **options)
    except (OSError, KafkaError) as error:
        if isinstance(error, _REFUSALS) or is_refusal(error):
            stop_process("kafka", StopWorker(_refused_message(host, port, error)))
        raise


def _refused_message(host: str, port: int, error: Exception) -> str:
    why = f"{type(error).__name__}: {error.__cause__ or error}"
    return (
        f"Kafka at {host}:{port} and this worker no longer accept each other ({why}). "
        "Check INTEREST_KAFKA__SECURITY__USERNAME, ..__PASSWORD, ..__CA_FILE, ..__CERT_FILE and the dates in the "
        "certificates. Nothing is lost: what is not committed is read again by a worker that is let in"
    )
