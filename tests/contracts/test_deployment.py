"""What deploy/ says of a deployment is what the service reads: options, ports, secrets, users."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support import kafka_broker, maven_jars
from wavebreak.io.topic_url import parse_topic_url
from wavebreak_server.config import declared_options, option

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "kubernetes" / "wavebreak"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
FILES = [DEPLOY / "compose" / "compose.yaml", *sorted(CHART.rglob("*.yaml"))]
USER = "10001"


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
