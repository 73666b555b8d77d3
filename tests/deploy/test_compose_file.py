"""What the Compose file promises: no default password, no root, few open ports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from greendc.settings import known_variables
from tests.conftest import REPOSITORY
from tests.services.influxd import INFLUXDB_VERSION

# Building the loader for the first time fetches its modules.
pytestmark = pytest.mark.timeout(600)
OURS = ("ingest", "analytics", "dashboard", "sims")
SERVICES = ("mosquitto", "influxdb", *OURS)


def test_the_services_and_their_profiles(project: dict[str, Any]) -> None:
    services = project["services"]
    assert set(services) == set(SERVICES)
    assert {name: s.get("profiles", []) for name, s in services.items() if s.get("profiles")} == {
        "sims": ["sims"]
    }


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened(project: dict[str, Any], name: str) -> None:
    service = project["services"][name]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged", False)
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    # What is written goes into a volume or into memory.
    for mount in service.get("volumes", []):
        assert mount["type"] == "volume" or mount["read_only"] is True, mount


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "sims"])
def test_a_service_says_how_it_is(project: dict[str, Any], name: str) -> None:
    check = project["services"][name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_only_the_board_and_the_tls_broker_are_published(project: dict[str, Any]) -> None:
    published = {
        (name, port["target"], port.get("host_ip"))
        for name, service in project["services"].items()
        for port in service.get("ports", [])
    }
    assert published == {
        ("dashboard", 8050, "127.0.0.1"),
        ("mosquitto", 8883, "127.0.0.1"),
        ("mosquitto", 8884, "127.0.0.1"),
    }


def test_store_and_broker_are_on_networks_without_a_way_out(project: dict[str, Any]) -> None:
    networks = project["networks"]
    assert networks["store"]["internal"] is True
    assert networks["broker"]["internal"] is True
    outside = {name for name, s in project["services"].items() if "outside" in s["networks"]}
    assert outside == {"dashboard", "mosquitto"}
    assert list(project["services"]["influxdb"]["networks"]) == ["store"]


def test_every_variable_of_ours_is_a_setting(project: dict[str, Any]) -> None:
    known = known_variables()
    for name in OURS:
        for variable in project["services"][name]["environment"]:
            assert variable in known, (name, variable)


def test_no_secret_stands_in_the_file(project: dict[str, Any]) -> None:
    for name, service in project["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET", variable):
                assert variable.endswith("_FILE"), (name, variable)
                assert value.startswith(("/run/secrets/", "/var/lib/greendc/")), (name, variable)
        given = {secret["target"] for secret in service.get("secrets", [])}
        used = {
            value
            for value in service.get("environment", {}).values()
            if isinstance(value, str) and value.startswith("/run/secrets/")
        }
        assert given == used, name


def test_images_have_versions_and_the_database_is_the_tested_one(project: dict[str, Any]) -> None:
    services = project["services"]
    assert services["influxdb"]["image"] == f"influxdb:{INFLUXDB_VERSION}"
    assert re.fullmatch(r"eclipse-mosquitto:\d+\.\d+\.\d+", services["mosquitto"]["image"])


def test_the_loader_refuses_a_wrong_file(compose_check: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services: { a: { image: x, read_onyl: true } }\n", encoding="utf-8")
    done = subprocess.run([compose_check, wrong], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "read_onyl" in done.stderr


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    ignored = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert copied
    for source in copied:
        assert (REPOSITORY / source).exists(), source
        assert source.removeprefix("./").split("/")[0] in admitted, source
    # Every room of the wheel is copied.
    rooms = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")} - {"tests", "bench"}
    assert rooms <= set(copied)
    users = re.findall(r"^USER (\S+)$", text, re.MULTILINE)
    assert users == ["10001:10001"]
