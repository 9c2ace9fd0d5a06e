"""What Faust is configured with: exactness, short sessions, and nothing of its own on the web."""

from typing import Final

from faust.auth import Credentials, SASLCredentials, SSLCredentials
from yarl import URL

from streams.data_directory import make_private
from streams.errors import BadSetting
from streams.kafka import admin
from streams.kafka.security import security, servers
from streams.preflight import advertised_host, check_port
from streams.settings import Settings
from streams.worker.assignor import Assignor
from streams.worker.command_line import PlainWorker

STORES: Final = {
    "rocksdb": "liqmon-rocksdb",
    "memory": "liqmon-memory",
    "redis": "liqmon-redis",
    "rediss": "liqmon-redis",
}
"""Scheme of TABLE_STORE to the name the store is registered under in the entry-point group ``faust.stores``."""


def _credentials(settings: Settings) -> Credentials | None:
    """Return TLS and the login as Faust takes them; None for neither. Raises :class:`BadSetting`."""
    found = security(settings)
    if found.has_login:
        return SASLCredentials(
            mechanism=found.mechanism,
            username=found.username,
            password=found.password.get_secret_value() if found.password else "",
            ssl_context=found.context,
        )
    return SSLCredentials(found.context) if found.context is not None else None


def faust_options(settings: Settings) -> dict[str, object]:
    """Return the options of the application.

    Raises :class:`BadSetting` for a store that there is not, and for a directory or port that cannot be used.
    """
    make_private(settings.data_dir)
    store = URL(settings.table_store)
    host, port = advertised_host(settings), settings.web_port or check_port(settings.web_host, 0, "WEB_PORT")
    if store.scheme not in STORES:
        raise BadSetting(f"TABLE_STORE={store.scheme}:// is not available; use {'://, '.join(STORES)}://")
    return {
        # Faust reads the environment too, before these options, where WEB_HOST and others mean something else.
        "env_prefix": "FAUST",
        "Worker": PlainWorker,
        "PartitionAssignor": Assignor,
        "broker": [URL(f"kafka://{server}") for server in servers(settings)],
        "broker_credentials": _credentials(settings),
        # Faust shows this URL; the store takes its password from the settings.
        "store": str((store.with_user(None) if store.host else store).with_scheme(STORES[store.scheme])),
        # State in Redis is every replica's: there is nothing to stand by with.
        "table_standby_replicas": 0 if STORES[store.scheme] == "liqmon-redis" else 1,
        "datadir": str(settings.data_dir),
        "topic_partitions": settings.topic_partitions,
        "topic_replication_factor": settings.topic_replication_factor,
        # streams.kafka.admin creates topics, with the settings that exactness needs; never Faust's leader.
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "processing_guarantee": "at_least_once",
        "broker_commit_interval": settings.commit_interval_seconds,
        # A killed worker is replaced within 20 s; Faust's default is a minute.
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 3.0,
        # A fetch brings what a bundle of rows holds, or several bundles of frames.
        "broker_max_poll_records": 1024,
        # Bundles hold up to 64 frames or 8192 rows, or 2 MiB of them: 16 MiB in all.
        "stream_buffer_maxsize": 8,
        "stream_wait_empty": True,
        "consumer_auto_offset_reset": "earliest",
        "producer_acks": -1,
        # A flush of many markets goes out in few requests: with 16 kB, the client's default, in five records each.
        "producer_max_batch_size": 256 * 1024,
        "producer_max_request_size": admin.MAX_RECORD_BYTES,
        "web_enabled": True,
        "web_bind": settings.web_host,
        "web_host": host,
        "web_port": port,
        # Faust's own says http.
        "canonical_url": f"{settings.web_scheme}://{f'[{host}]' if ':' in host else host}:{port}",
        "web_tables_enabled": False,
        "web_debug_enabled": False,
        "web_router_enabled": False,
        "web_graph_enabled": False,
        "web_stats_enabled": False,
        "web_metrics_enabled": False,
    }
