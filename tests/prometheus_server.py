"""A real Prometheus with the project's rules, whose minutes are seconds, scraping processes on this machine."""

import json
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from streams.local.embedded.process import Child
from tests.faults.processes import wait_until
from tests.kafka.server import HOST, free_ports

RULES = Path(__file__).parent.parent / "prometheus" / "alerts.yml"
# Rules wait for up to five minutes, and look back for up to fifteen: with this they fire and clear while a test waits.
FASTER = 60
# A rule that waits for hours.
MOST_WAIT_MILLISECONDS = 10_000
START_SECONDS = 30

_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\[|offset )(\d+)([smh])")
# What the rules compare ages and numbers of messages with. A limit that nothing must wait for stays.
_LIMIT = re.compile(r"> ([2-9]\d|\d{3,})")


def faster_rules(text: str) -> str:
    """Return the rules with every duration, and every limit that time must pass for, divided by :data:`FASTER`."""
    content = yaml.safe_load(text)
    for group in content["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                waits = _milliseconds(rule["for"][:-1], rule["for"][-1])
                rule["for"] = f"{min(int(waits.removesuffix('ms')), MOST_WAIT_MILLISECONDS)}ms"
            shorter = _DURATION.sub(lambda found: found[1] + _milliseconds(found[2], found[3]), rule["expr"])
            rule["expr"] = _LIMIT.sub(lambda found: f"> {int(found[1]) / FASTER:g}", shorter)
    return yaml.safe_dump(content)


def _milliseconds(number: str, unit: str) -> str:
    return f"{int(number) * _UNITS[unit] * 1000 // FASTER}ms"


def rule_names() -> set[str]:
    """Return the names of the project's alert rules."""
    return {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


class Prometheus:
    """Scrapes ``ports`` by job, and judges the project's rules :data:`FASTER` times as fast as in production."""

    def __init__(self, directory: Path, ports: Mapping[str, Sequence[int]]) -> None:
        self._directory = directory
        self._jobs = ports
        (self._port,) = free_ports(1)

    @staticmethod
    def is_installed() -> bool:
        """Whether there is a Prometheus here."""
        return shutil.which("prometheus") is not None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "rules.yml").write_text(faster_rules(RULES.read_text()))
        configuration = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"{HOST}:{port}" for port in ports]}]}
                for job, ports in self._jobs.items()
            ],
        }
        (self._directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._child = Child(
            "prometheus",
            [
                str(shutil.which("prometheus")),
                f"--config.file={self._directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address={HOST}:{self._port}",
            ],
            directory=self._directory,
            log=self._directory / "prometheus.log",
        )
        try:
            wait_until(self._answers, START_SECONDS, "Prometheus to answer")
        except BaseException:
            self._child.kill()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._child.kill()

    def _answers(self) -> bool:
        try:
            self.ask("query", query="vector(1)")
        except OSError:
            return False
        return True

    def ask(self, what: str, **parameters: str) -> Any:
        """Return ``data`` of an answer of the HTTP API. Raises OSError when there is none."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{HOST}:{self._port}/api/v1/{what}?{query}", timeout=5) as answer:
            return json.load(answer)["data"]

    def values(self, expression: str) -> list[float]:
        """Return the values of a PromQL expression, one for each series."""
        return [float(series["value"][1]) for series in self.ask("query", query=expression)["result"]]

    def answers(self, expression: str) -> bool:
        """Whether a PromQL expression has any value now."""
        return bool(self.values(expression))

    def firing(self) -> set[str]:
        """Return the names of the rules that fire now."""
        return {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"}
