"""The compose file's producer and worker, run natively: its commands, its environment, real servers in other places."""

import asyncio
import json
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.local.embedded.broker import EmbeddedBroker
from streams.local.embedded.postgres import EmbeddedPostgres
from streams.local.embedded.valkey import EmbeddedRedis
from streams.model.deadletters import REASONS
from tests.faults.processes import Process, Processes, http_get, liqmon, wait_until
from tests.kafka import NotCovered, real_or_embedded
from tests.kafka.server import HOST, free_ports
from tests.prometheus_server import Prometheus

ROOT = Path(__file__).parent.parent
DASHBOARD = ROOT / "prometheus" / "grafana" / "dashboards" / "liquidation-monitor.json"
READY_SECONDS = 60

pytestmark = pytest.mark.timeout(240)


def service(name: str, environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return a service's command and its environment, with ``${NAME:-default}`` as compose would fill it in."""
    text = re.sub(
        r"\$\{(\w+):-([^}]*)\}",
        lambda found: environment.get(found[1]) or found[2],
        (ROOT / "docker-compose.yml").read_text(),
    )
    spec: dict[str, Any] = yaml.safe_load(text)["services"][name]
    return spec["command"], {key: str(value) for key, value in spec["environment"].items()}


def add(processes: Processes, name: str, port_variable: str, places: dict[str, str]) -> Process:
    """Prepare a service as a process; ``places`` says where its servers are on this machine."""
    command, environment = service(name, {})
    unknown = places.keys() - environment.keys() - {"SPOT_WS_URL", "FUTURES_WS_URL", "CREATE_TOPICS"}
    assert not unknown, "only what the compose file sets may be moved"
    (port,) = free_ports(1)
    own = {port_variable: str(port), "DATA_DIR": str(processes.directory / name / "data")}
    return processes.add(name, liqmon(*command), environment=environment | places | own, port=port)


def every_panel_shows_something(prometheus: Prometheus) -> None:
    """Ask each panel's question until it has an answer: where nothing happened, a 0 and not "No data"."""
    dashboard = json.loads(DASHBOARD.read_text())
    questions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"] if "expr" in target]
    assert questions
    for question in questions:
        wait_until(partial(prometheus.answers, question), READY_SECONDS, f"an answer to {question}")


async def test_producer_and_worker_become_ready_and_trades_arrive(tmp_path: Path) -> None:
    with (
        real_or_embedded(tmp_path / "kafka") as broker,
        EmbeddedRedis() as redis,
        EmbeddedPostgres(tmp_path / "postgres", durable=False) as postgres,
        Processes(tmp_path, {}) as processes,
    ):
        (simulator_port,) = free_ports(1)
        processes.add("simulator", liqmon("simulate", "--port", str(simulator_port))).start()
        places = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "REDIS_URL": redis.url, **postgres.settings}
        if isinstance(broker, EmbeddedBroker):
            places["CREATE_TOPICS"] = "false"
        feeds = {
            "SPOT_WS_URL": f"ws://{HOST}:{simulator_port}/v2",
            "FUTURES_WS_URL": f"ws://{HOST}:{simulator_port}/ws/v1",
        }
        worker = add(processes, "worker", "WEB_PORT", places).start()
        producer = add(processes, "producer", "PRODUCER_METRICS_PORT", places | feeds).start()
        for process in (producer, worker):
            await asyncio.to_thread(process.wait_ready, READY_SECONDS)
            _, scraped = await asyncio.to_thread(http_get, process.port, "/metrics")
            unsaid = [reason for reason in REASONS if f'liqmon_dead_letters_total{{reason="{reason}"}}' not in scraped]
            assert unsaid == [], "a counter that first appears at 1 does not increase"
        await asyncio.to_thread(
            wait_until, lambda: worker.metric("liqmon_trades_total") > 0, READY_SECONDS, "trades at the worker"
        )
        assert worker.metric("liqmon_dead_letters_total") == 0
        if Prometheus.is_installed():
            jobs = {"worker": [worker.port], "producer": [producer.port]}
            with Prometheus(tmp_path / "prometheus", jobs) as prometheus:
                await asyncio.to_thread(every_panel_shows_something, prometheus)
        else:
            warnings.warn("Prometheus is not installed: the dashboard's panels were not asked", NotCovered, 1)
