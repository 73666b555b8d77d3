"""Settings: one tree, the variable wins, every problem at once, secrets never shown."""

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from greendc.settings import describe, known_variables, load_settings, mqtt_connection

# The variables that scripts rely on.
AGREED = """
GREENDC_DATA_DIR GREENDC_SITES_DIR GREENDC_MAPPINGS_DIR GREENDC_MQTT__URL GREENDC_MQTT__USERNAME
GREENDC_MQTT__PASSWORD GREENDC_MQTT__PASSWORD_FILE GREENDC_MQTT__CA_FILE GREENDC_MQTT__CERT_FILE
GREENDC_MQTT__KEY_FILE GREENDC_MQTT__VERSION GREENDC_MQTT__CLIENT_ID GREENDC_INGEST__PARTITIONS
GREENDC_INGEST__SITE_READINGS_PER_S GREENDC_TIMESERIES__URL GREENDC_TIMESERIES__ORG
GREENDC_TIMESERIES__BUCKET GREENDC_TIMESERIES__TOKEN GREENDC_TIMESERIES__TOKEN_FILE
GREENDC_TIMESERIES__RAW_DAYS GREENDC_RECORDS__URL GREENDC_BOARD__HOST GREENDC_BOARD__PORT
GREENDC_BOARD__PUBLIC_URL GREENDC_BOARD__FIRST_PASSWORD_FILE GREENDC_HEALTH__PORT
GREENDC_LOG__FORMAT
"""


def test_the_agreed_variables_and_defaults() -> None:
    assert set(AGREED.split()) <= set(known_variables())
    settings = load_settings(None, {}).settings
    assert settings.data_dir == Path("data")
    assert settings.mqtt.url == "mqtt://127.0.0.1:1883"
    assert settings.mqtt.version == 5
    assert settings.mqtt.client_id == "greendc-ingest"
    assert settings.ingest.taken() == (0,)
    assert settings.ingest.site_readings_per_s == 100_000
    assert settings.timeseries.url == "embedded:"
    assert settings.timeseries.raw_days == 400
    assert (settings.board.host, settings.board.port) == ("127.0.0.1", 8050)
    assert settings.health.port == 9464


def test_a_variable_wins_over_the_file_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "greendc.toml"
    file.write_text('data_dir = "/var/lib/greendc"\n[board]\nport = 9000\nhost = "::1"\n')
    loaded = load_settings(str(file), {"GREENDC_BOARD__PORT": "9001"})
    assert loaded.settings.board.port == 9001
    assert loaded.settings.board.host == "::1"
    origins = {row["key"]: row["origin"] for row in describe(loaded)}
    assert origins["board.port"] == "GREENDC_BOARD__PORT"
    assert origins["data_dir"] == str(file)
    assert origins["log.format"] == "default"


def test_every_problem_of_file_and_environment_comes_at_once(tmp_path: Path) -> None:
    file = tmp_path / "greendc.toml"
    file.write_text('[mqtt]\nurl = "http://x"\n[borad]\nport = 1\n[board]\nport = "many"\n')
    with pytest.raises(ConfigurationError) as caught:
        load_settings(str(file), {"GREENDC_BOARD_PORT": "1", "GREENDC_TIMESERIES__RAW_DAYS": "-1"})
    keys = {problem.key for problem in caught.value.problems}
    wanted = {
        "mqtt.url",
        "borad",
        "board.port",
        "GREENDC_BOARD_PORT",
        "GREENDC_TIMESERIES__RAW_DAYS",
    }
    assert keys == wanted
    assert all(problem.hint for problem in caught.value.problems)


def test_test_variables_are_not_ours() -> None:
    load_settings(None, {"GREENDC_TEST_INFLUX_URL": "http://127.0.0.1:1"})


def test_an_unreadable_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read"):
        load_settings("nowhere.toml", {})


def test_secrets_come_from_files_and_are_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    loaded = load_settings(
        None,
        {
            "GREENDC_MQTT__USERNAME": "greendc-ingest",
            "GREENDC_MQTT__PASSWORD_FILE": str(secret),
            "GREENDC_TIMESERIES__TOKEN": "t0ken",
        },
    )
    connection = mqtt_connection(loaded.settings.mqtt)
    assert connection.password == "correct horse"
    shown = repr(loaded.settings) + repr(connection) + repr(describe(loaded))
    assert "correct horse" not in shown
    assert "t0ken" not in shown


def test_an_influx_without_token_and_a_partition_that_is_not_there() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            None,
            {
                "GREENDC_TIMESERIES__URL": "http://127.0.0.1:8086",
                "GREENDC_INGEST__PARTITIONS": "0,3",
            },
        )
    assert {p.key for p in caught.value.problems} == {"timeseries.token", "ingest.partitions"}


@pytest.mark.parametrize(
    "url", ["mqtt://", "tcp://a:1", "mqtt://u:p@h:1", "mqtt://h:99999", "mqtt://h/x"]
)
def test_an_address_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="GREENDC_MQTT__URL"):
        load_settings(None, {"GREENDC_MQTT__URL": url})


def test_tls_and_default_ports() -> None:
    def connection(url: str) -> tuple[str, int, bool]:
        found = mqtt_connection(load_settings(None, {"GREENDC_MQTT__URL": url}).settings.mqtt)
        return found.host, found.port, found.tls

    assert connection("mqtts://broker.example") == ("broker.example", 8883, True)
    assert connection("mqtt://broker.example:1884") == ("broker.example", 1884, False)
