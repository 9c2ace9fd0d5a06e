"""One frozen object with every setting, read from the environment and ``.env`` and checked at start."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from streams.addresses import check_brokers, check_public_url, check_table_store, host_or_network, is_redis
from streams.errors import BadSetting
from streams.secured import KafkaProtocol, Mechanism, SslMode, contradictions
from streams.settings_markets import check_pair, check_products, check_quotes
from streams.settings_sources import WrittenSettings
from streams.settings_words import explain
from streams.severities import LEAST_THRESHOLD, MOST_THRESHOLD, check_multiples
from streams.webhook import parse_base, parse_webhook

AnySettings = TypeVar("AnySettings", bound=BaseSettings)
Words = Annotated[tuple[str, ...], NoDecode]
Numbers = Annotated[tuple[int, ...], NoDecode]


class VenueSettings(WrittenSettings):
    """The base of a venue's own settings: environment variables or lines of ``.env``, as the program's are.

    A subclass names them as fields, in lower case, each beginning with the venue's name. See :func:`read_settings`.
    """


class Settings(WrittenSettings):
    """Every setting, with its default. Names are the environment variables', in lower case; units are in the names."""

    # windows and rules
    window_seconds: int = Field(300, ge=1, le=86_400, description="length of the window that the rules judge")
    windows: Numbers = Field((60, 300, 900, 3600), description="lengths of the windows shown per market, seconds")
    allowed_lateness_seconds: int = Field(
        600, ge=0, le=86_400, description="how much longer than the longest window panes are kept"
    )
    max_future_seconds: int = Field(
        60, ge=0, description="a trade further ahead of the broker's clock when it came is refused"
    )
    max_clock_skew_seconds: float = Field(
        15, ge=1, le=3600, description="a process whose clock is off by more than this is not ready"
    )
    liquidation_threshold_usd: float = Field(
        1_000_000,
        ge=LEAST_THRESHOLD,
        le=MOST_THRESHOLD,
        description="volume rule (spot): USD traded in a window that raise an alert",
    )
    liquidation_rule_threshold_usd: float = Field(
        250_000,
        ge=LEAST_THRESHOLD,
        le=MOST_THRESHOLD,
        description="liquidation rule (futures): USD liquidated in a window that raise an alert",
    )
    price_move_pct: float | None = Field(
        None,
        ge=1e-9,
        le=1000,
        examples=[2.5],
        description="price move rule (all markets): percent that alerts, for workers and producers; empty: off; "
        "set it after an upgrade",
    )
    alert_cooldown_sec: int = Field(300, ge=1, le=86_400, description="how long only a higher severity alerts again")
    severity_multiples: Annotated[tuple[float, ...], NoDecode] = Field(
        (1, 2, 5, 10), description="multiples of the threshold for LOW, MEDIUM, HIGH, CRITICAL"
    )

    # feeds; names have as many characters as MAX_NAME says (streams/model/kinds.py)
    feed: Literal["simulator", "live", "recording"] | None = Field(
        None,
        description="simulator, live or recording; empty: liqmon run simulates a market, liqmon produce watches Kraken",
    )
    venues: Words = Field(
        (), description="modules of venues beside Kraken, which producers and workers import, comma separated"
    )
    spot_ws_url: str = Field("wss://ws.kraken.com/v2", description="Kraken spot WebSocket v2")
    futures_ws_url: str = Field("wss://futures.kraken.com/ws/v1", description="Kraken futures WebSocket v1")
    spot_venue: str = Field("kraken_spot", pattern=r"^[a-z0-9_.:-]{1,64}$", description="venue written on spot trades")
    futures_venue: str = Field(
        "kraken_futures", pattern=r"^[a-z0-9_.:-]{1,64}$", description="venue written on futures trades"
    )
    spot_symbols: Words = Field(
        ("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"), description="spot markets, comma separated"
    )
    futures_symbols: Words = Field(
        ("PF_XBTUSD", "PF_ETHUSD", "PI_XBTUSD"), description="futures products, comma separated"
    )
    usd_quotes: Words = Field(("USD", "USDT", "USDC"), description="quote currencies counted as USD at par")
    symbols_per_subscribe: int = Field(50, ge=1, le=1000, description="symbols in one subscribe request")
    heartbeat_timeout_seconds: float = Field(10, gt=0, description="silence after which a socket counts as dead")
    symbol_stale_seconds: float = Field(300, gt=0, description="silence after which one symbol is subscribed again")

    # producer; a frame holds at most MAX_FRAME_TRADES (streams/model/frames.py)
    frame_max_trades: int = Field(500, ge=1, le=5000, description="most trades in one frame")
    frame_linger_ms: int = Field(
        5,
        ge=0,
        le=10_000,
        description="how long a frame of a busy market waits for more trades; above 10 every frame does",
    )
    producer_max_buffered_trades: int = Field(
        500_000, ge=1000, description="trades kept in memory while the broker is away"
    )

    # Kafka
    kafka_bootstrap_servers: str = Field("localhost:9092", description="brokers, host:port, comma separated")
    kafka_security_protocol: KafkaProtocol = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL (TLS), SASL_PLAINTEXT (login) or SASL_SSL (both)"
    )
    kafka_sasl_mechanism: Mechanism | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str = Field("", description="user of the login")
    kafka_sasl_password: SecretStr | None = Field(None, description="password of the login")
    kafka_ssl_cafile: Path | None = Field(
        None, description="PEM file of the CAs that brokers' certificates must be of; empty: the system's"
    )
    kafka_ssl_certfile: Path | None = Field(None, description="PEM file of this client's certificate")
    kafka_ssl_keyfile: Path | None = Field(None, description="PEM file of its key, if the certificate's has none")
    topic_partitions: int = Field(
        4, ge=1, le=1000, description="partitions of the topics; best a multiple of the number of workers"
    )
    topic_replication_factor: int = Field(1, ge=1, le=9, description="replication of the topics")
    create_topics: bool = Field(default=True, description="create missing topics; false for a broker that cannot")
    fetch_max_wait_ms: int = Field(
        500,
        ge=1,
        le=30_000,
        description="how long the broker may wait for new records; Kafka answers at once if there are any",
    )
    commit_interval_seconds: float = Field(
        1.0, gt=0, le=60, description="how often state is flushed and offsets committed"
    )
    commit_deadline_seconds: float = Field(
        300,
        ge=30,
        le=86_400,
        description="a worker that commits nothing for so long, though messages wait, ends to be started again",
    )

    # state
    table_store: str = Field("rocksdb://", repr=False, description="rocksdb://, redis://host:port/db or memory://")
    data_dir: Path = Field(Path(".liqmon"), description="where this replica keeps its tables; one directory each")

    # markets on the topic that SPOT_SYMBOLS, FUTURES_SYMBOLS and VENUES do not list; the defaults are of
    # tables/market/admission.py
    max_markets_per_partition: int = Field(
        1000, ge=1, le=20_000, description="markets that are not listed which a worker keeps, of each partition"
    )
    new_markets_per_minute: int = Field(
        300, ge=1, le=100_000, description="new ones of them that a worker takes in a minute, of each partition"
    )
    only_listed_markets: bool = Field(
        default=False, description="keep listed markets alone; trades of others are dead letters"
    )

    # Redis
    redis_url: SecretStr | None = Field(
        None, description="redis://host:port/db for published ids and live windows; empty: no Redis"
    )
    redis_ssl_cafile: Path | None = Field(
        None, description="PEM file of the CAs that a certificate at rediss:// must be of; empty: the system's"
    )
    redis_ssl_certfile: Path | None = Field(None, description="PEM file of this client's certificate")
    redis_ssl_keyfile: Path | None = Field(None, description="PEM file of its key, if the certificate's has none")

    # Postgres
    postgres_host: str = Field("localhost", description="Postgres host, or the directory of its socket")
    postgres_port: int = Field(5432, ge=1, le=65_535, description="Postgres port")
    postgres_user: str = Field("liqmon", description="Postgres user")
    postgres_password: SecretStr = Field(SecretStr(""), description="Postgres password")
    postgres_db: str = Field("liqmon", description="Postgres database")
    postgres_sslmode: SslMode | None = Field(
        None,
        description="disable, allow, prefer, require, verify-ca or verify-full, as libpq has them; empty: prefer",
    )
    postgres_ssl_cafile: Path | None = Field(
        None, description="PEM file of the CAs that verify-ca and verify-full accept; empty: the system's"
    )
    postgres_ssl_certfile: Path | None = Field(None, description="PEM file of this client's certificate")
    postgres_ssl_keyfile: Path | None = Field(None, description="PEM file of its key, if the certificate's has none")
    stats_interval_seconds: float = Field(10, gt=0, description="how often window_stats is sampled")
    stats_retention_days: int = Field(30, ge=1, le=3650, description="how long samples in window_stats are kept")
    # Longer than Kafka keeps the topic alerts by default: an alert that is read again would be a new one.
    alert_retention_days: int | None = Field(
        None, ge=30, le=36_500, description="how long alerts are kept after their last change; empty: for ever"
    )

    # Discord
    discord_webhook_url: SecretStr | None = Field(None, description="Discord webhook")
    discord_webhook_url_2: SecretStr | None = Field(
        None, description="second Discord webhook; used before the first where both are set"
    )
    discord_api_base: str = Field("", description="where Discord's API is; empty: on the webhook's own host")

    # web
    web_host: str = Field("127.0.0.1", description="address the web view binds to")
    web_port: int = Field(6066, ge=0, le=65_535, description="port of the web view, /metrics, /healthz and /readyz")
    web_public_url: str = Field(
        "",
        description="address of the web view in messages, with the path below which a proxy serves it; empty: built "
        "from host and port",
    )
    web_advertised_host: str = Field(
        "", description="name or address under which other workers reach this one; empty: made from WEB_HOST"
    )
    web_token: SecretStr | None = Field(
        None, min_length=16, description="token that the web view asks for; needed if WEB_HOST is not loopback"
    )
    web_peer_secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="secret by which workers know each other; the same for all; empty: they agree on one over Kafka",
    )
    web_peer_hosts: Words = Field(
        (),
        description="names, addresses and networks of workers that are asked; empty: private networks, and hosts from "
        "which members of the group reach Kafka",
    )
    web_tls_certfile: Path | None = Field(
        None, description="PEM file of the certificate that workers and producers show; with it they speak HTTPS only"
    )
    web_tls_keyfile: Path | None = Field(None, description="PEM file of its key, if the certificate's has none")
    web_tls_cafile: Path | None = Field(
        None,
        description="PEM file of the CAs that other workers' and producers' certificates must be of; empty: the "
        "system's",
    )
    producer_urls: Words = Field(
        (),
        repr=False,
        description="addresses of producers' status pages, shown on the page of workers, comma separated",
    )
    producer_metrics_port: int = Field(
        6067, ge=0, le=65_535, description="port of the producer's /metrics, /healthz and /readyz"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level logged")

    _multiples = field_validator("severity_multiples")(check_multiples)
    _brokers = field_validator("kafka_bootstrap_servers")(check_brokers)
    _table_store = field_validator("table_store")(check_table_store)
    _web_public_url = field_validator("web_public_url")(check_public_url)
    _products = field_validator("futures_symbols", "usd_quotes")(check_products)

    @field_validator("windows")
    @classmethod
    def _windows(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or len(value) > 16 or any(not 1 <= seconds <= 86_400 for seconds in value):
            raise ValueError("must be 1 to 16 whole seconds between 1 and 86400, comma separated")
        return tuple(sorted(set(value)))

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_redis(value.get_secret_value()):
            raise ValueError("must be redis://host:port/db, or rediss:// with TLS")
        return value

    @field_validator("discord_webhook_url", "discord_webhook_url_2")
    @classmethod
    def _webhooks(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_webhook(value.get_secret_value())
        return value

    @field_validator("discord_api_base")
    @classmethod
    def _api_base(cls, value: str) -> str:
        return parse_base(value) if value else value

    @field_validator("spot_symbols")
    @classmethod
    def _spot_symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_pair(symbol, cls.model_fields["usd_quotes"].default) for symbol in value)

    @field_validator("web_peer_hosts")
    @classmethod
    def _peer_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            host_or_network(host)
        return value

    @model_validator(mode="after")
    def _quotes_are_usd(self) -> "Settings":
        check_quotes(self.spot_symbols, self.usd_quotes)
        return self

    @model_validator(mode="after")
    def _is_secured_as_it_says(self) -> "Settings":
        if found := contradictions(self):
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _peers_have_a_secret_of_their_own(self) -> "Settings":
        if self.web_peer_secret is not None and self.web_peer_secret == self.web_token:
            raise ValueError("WEB_PEER_SECRET must be another than WEB_TOKEN, which people have")
        return self

    @property
    def retention_seconds(self) -> int:
        """How far back panes are kept: the longest window and the lateness allowed on top."""
        return max(*self.windows, self.window_seconds) + self.allowed_lateness_seconds

    @property
    def web_scheme(self) -> Literal["http", "https"]:
        """How addresses of workers and producers begin."""
        return "http" if self.web_tls_certfile is None else "https"

    @property
    def webhook(self) -> SecretStr | None:
        """The Discord webhook in use, if any."""
        return self.discord_webhook_url_2 or self.discord_webhook_url


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises :class:`BadSetting` that names each wrong variable and what it must be."""
    return read_settings(Settings, **overrides)


def read_settings(kind: type[AnySettings], **overrides: Any) -> AnySettings:
    """Read settings of this kind, a venue's own or all. Raises :class:`BadSetting` like :func:`load_settings`."""
    try:
        return kind(**overrides)
    except ValidationError as error:
        raise BadSetting(f"wrong setting: {explain(error, kind.model_fields)}") from None
    except (UnicodeDecodeError, OSError) as error:
        raise BadSetting(f"the file .env cannot be read: {error}; it must be UTF-8 text") from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """Return the process's settings, read once."""
    return load_settings()
