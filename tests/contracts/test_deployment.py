"""What deploy/ says of a deployment is what the service reads: options, ports, secrets, users."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from support import kafka_broker, maven_jars
from wavebreak.cli.app import app
from wavebreak.io.log_rows import parse_topic_url
from wavebreak_flink.rest_api import DEFAULT, Address
from wavebreak_server.config import declared_options, option

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "kubernetes" / "wavebreak"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
FILES = [DEPLOY / "compose" / "compose.yaml", *sorted(CHART.rglob("*.yaml"))]
USER = "10001"
ROOT: Any = typer.main.get_command(app)
ROOT.load()
PAGES = [DEPLOY.parent / "docs" / "how-to" / name for name in ("scale-out.md", "run-a-cluster.md")]


def variables(text: str) -> set[str]:
    return set(re.findall(r"\bWAVEBREAK_[A-Z_]+", text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_variables_of_a_deployment_are_options(path: Path) -> None:
    declared = {each.variable for each in declared_options()} - {""}
    assert variables(path.read_text("utf-8")) <= declared


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_container_has_least_rights_limits_and_a_check(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"healthcheck", "mem_limit", "cpus", "pids_limit"} <= service.keys()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_secrets_of_a_container_are_declared_files(name: str) -> None:
    wanted = set(SERVICES[name].get("secrets", ()))
    named = re.findall(r"/run/secrets/(\w+)", str(SERVICES[name].get("environment", "")))
    made = (DEPLOY / "compose" / "make-secrets").read_text("utf-8")
    assert wanted <= COMPOSE["secrets"].keys()
    assert set(named) <= wanted
    assert all(f"secrets/{each}" in made for each in wanted)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_images_are_pinned_and_secrets_no_variables(name: str) -> None:
    image = SERVICES[name]["image"]
    environment = SERVICES[name].get("environment", {})
    assert re.fullmatch(r"[a-z/-]+:\d+(\.\d+)+", image)
    assert not [each for each in environment if re.search(r"PASSWORD$", each)]


def test_ports_are_open_to_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert f"127.0.0.1:{option('port').default}:{option('port').default}" in ports


def test_broker_is_of_the_version_that_is_tested() -> None:
    versions = {
        jar.version
        for jar in maven_jars.listed_jars(kafka_broker.JARS)
        if jar.group == "org.apache.kafka"
    }
    assert {SERVICES["kafka"]["image"].rpartition(":")[2]} == versions


def test_topics_of_the_log_are_urls_that_are_read() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    urls = [SERVICES["wavebreak"]["environment"]["WAVEBREAK_LOG"], values["log"]]
    assert {parse_topic_url(url).topic for url in urls} == {"wavebreak-log"}


def test_user_of_the_image_is_the_one_that_reads_secrets() -> None:
    image = (DEPLOY / "Containerfile").read_text("utf-8")
    chart = (CHART / "templates" / "statefulset.yaml").read_text("utf-8")
    assert f"--uid {USER} " in image
    assert re.findall(r"(?:runAsUser|runAsGroup|fsGroup): (\d+)", chart) == [USER] * 3
    assert f"wavebreak={USER} " in (DEPLOY / "compose" / "make-secrets").read_text("utf-8")


def test_flink_is_of_one_version_everywhere() -> None:
    image = (DEPLOY / "compose" / "flink.Containerfile").read_text("utf-8")
    cluster = yaml.safe_load((DEPLOY / "kubernetes" / "flink-deployment.yaml").read_text("utf-8"))
    (version,) = re.findall(r"^FROM flink:(\d+)\.(\d+)", image, re.MULTILINE)
    assert cluster["spec"]["flinkVersion"] == "v" + "_".join(version)
    assert cluster["spec"]["image"] == SERVICES["jobmanager"]["image"]


@pytest.mark.parametrize("key", ["", "absent.key"])
def test_secrets_are_not_begun_without_the_ledgers_key(tmp_path: Path, key: str) -> None:
    script = tmp_path / "make-secrets"
    shutil.copy(DEPLOY / "compose" / "make-secrets", script)
    environment = {"PATH": os.defpath} | ({"LEDGER_KEY_FILE": key} if key else {})
    ended = subprocess.run(
        [script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert "LEDGER_KEY_FILE" in ended.stderr or key in ended.stderr
    assert not (tmp_path / "secrets").exists()


def test_configuration_of_flink_is_not_hidden_by_an_empty_one() -> None:
    image = (DEPLOY / "compose" / "flink.Containerfile").read_text("utf-8")
    # Its entrypoint needs the shipped configuration, and envsubst for each property.
    assert "cp -r /opt/flink/conf /opt/flink/conf.shipped" in image
    assert "gettext-base" in image
    for name in ("jobmanager", "taskmanager"):
        assert "/opt/flink/conf:uid=9999" in SERVICES[name]["tmpfs"]
        assert "cp /opt/flink/conf.shipped/* /opt/flink/conf/" in SERVICES[name]["entrypoint"][2]


def test_process_of_the_image_is_a_command_that_parses() -> None:
    image = (DEPLOY / "Containerfile").read_text("utf-8")
    (entry,) = re.findall(r"^ENTRYPOINT (\[.*\])$", image, re.MULTILINE)
    program, command, *arguments = json.loads(entry)
    assert Path(program).name == "wavebreak"
    parse(command, *arguments)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_of_a_page_on_clusters_parse(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ").replace("POSITION", "7")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
             for line in block.splitlines()]  # fmt: skip
    commands = [line.partition("wavebreak ")[2] for line in lines if "wavebreak " in line]
    commands += re.findall(r"`wavebreak (flink [^`]*? [^`]*)`", text)
    given = [shlex.split(each.replace("…", "x")) for each in commands if "-f deploy" not in each]
    assert len(given) >= 3
    for words in given:
        parse(*words)


def parse(*words: str) -> None:
    """Parse a command with the parser of the command line, which runs nothing of it."""
    command, rest = ROOT, list(words)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context(command.name, rest)


def test_ports_of_checks_are_those_that_are_listened_on() -> None:
    properties = SERVICES["taskmanager"]["environment"]["FLINK_PROPERTIES"]
    reporter = re.findall(r"prometheus\.port: (\d+)", properties)
    checked = {name: re.findall(r":(\d+)", str(SERVICES[name]["healthcheck"]["test"]))
               for name in SERVICES}  # fmt: skip
    assert checked["taskmanager"] == reporter
    assert checked["jobmanager"] == [str(Address.of(DEFAULT).port)]
    assert checked["wavebreak"] == [str(option("port").default)]
    listened = SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    assert checked["kafka"][0] in re.findall(r"PLAINTEXT://:(\d+)", listened)
    cluster = yaml.safe_load((DEPLOY / "kubernetes" / "flink-deployment.yaml").read_text("utf-8"))
    assert cluster["spec"]["flinkConfiguration"]["metrics.reporter.prometheus.port"] == reporter[0]


def test_parts_that_wait_for_others_wait_for_checked_ones() -> None:
    for service in SERVICES.values():
        for name, terms in service.get("depends_on", {}).items():
            assert terms == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]
        volumes = {each.split(":")[0] for each in service.get("volumes", ())}
        assert volumes <= COMPOSE["volumes"].keys()


@pytest.mark.parametrize("image", ["Containerfile", "compose/flink.Containerfile"])
def test_files_that_an_image_copies_are_there(image: str) -> None:
    text = (DEPLOY / image).read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert copied
    for path in " ".join(copied).split():
        assert (DEPLOY.parent / path).exists(), path


def test_a_service_that_reads_a_long_log_is_not_restarted() -> None:
    chart = (CHART / "templates" / "statefulset.yaml").read_text("utf-8")
    assert re.findall(r"(\w+)Probe:\n\s+httpGet: {path: (/\w+),", chart) == [
        ("startup", "/healthz"), ("readiness", "/readyz"), ("liveness", "/healthz")
    ]  # fmt: skip
