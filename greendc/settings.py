"""One typed settings tree from one TOML file and `GREENDC_…` variables; the variable wins.

Every setting is also an environment variable, nested by `__`. An unknown key or variable, a wrong
type and an unreadable file are all reported in one list; nothing is ignored.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from core.connections import MqttConnection
from core.errors import ConfigurationError, Problem
from ingest.limits import LEAST_SPOOL_BYTES, IngestLimits

PREFIX = "GREENDC_"
TEST_PREFIX = "GREENDC_TEST_"
CONFIG_VARIABLE = "GREENDC_CONFIG"
_DEFAULT_MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}


def _mqtt_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_MQTT_PORTS or not parts.hostname:
        raise ValueError("write mqtt://host:port or mqtts://host:port")
    if parts.username or parts.password:
        raise ValueError("the account belongs into mqtt.username and mqtt.password_file")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("write only scheme, host and port")
    _ = parts.port  # raises ValueError where the port is no number below 65,536
    return url


def _timeseries_url(url: str) -> str:
    if url == "embedded:":
        return url
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("write embedded: or http(s)://host:port of an InfluxDB 2.x")
    return url


Port = Annotated[int, Field(ge=0, le=65_535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)


class MqttSettings(_Section):
    """How to reach the broker, and as whom."""

    url: Annotated[str, AfterValidator(_mqtt_url)] = "mqtt://127.0.0.1:1883"
    username: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    version: Literal[3, 5] = 5
    client_id: Annotated[str, Field(min_length=1, max_length=48)] = "greendc-ingest"

    @field_validator("version", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return {"3": 3, "5": 5}.get(value, value) if isinstance(value, str) else value


class IngestSettings(_Section):
    """Partitions of this process, limits of a site, and the probe."""

    partitions: str = "all"
    partition_count: Annotated[int, Field(ge=1, le=64)] = 1
    partition_table: dict[str, int] = {}
    site_readings_per_s: Annotated[float, Field(gt=0)] = 100_000
    # Off unless asked for: another's broker need not let us publish, and may hang up on us for it.
    probe_s: Annotated[float, Field(ge=0, le=86_400)] = 0
    spool_bytes: Annotated[int, Field(ge=0)] = IngestLimits().spool_bytes
    # Of payloads with their topics; 0 = no bound.
    quarantine_bytes: Annotated[int, Field(ge=0)] = 1_000_000_000
    quarantine_days: Annotated[int, Field(ge=0)] = 90

    @field_validator("quarantine_days")
    @classmethod
    def _whole_days(cls, value: int) -> int:
        if value == 1:
            raise ValueError("at least 2 days: the ledger of the last 24 hours is checked by them")
        return value

    @field_validator("spool_bytes")
    @classmethod
    def _holds_a_commit(cls, value: int) -> int:
        if 0 < value < LEAST_SPOOL_BYTES:
            raise ValueError(
                f"a spool needs room for its largest commit: {LEAST_SPOOL_BYTES} bytes or more, "
                "or 0 for as much as the disk holds"
            )
        return value

    @field_validator("partitions", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @field_validator("partitions")
    @classmethod
    def _readable(cls, value: str) -> str:
        if value != "all" and not all(part.strip().isdigit() for part in value.split(",")):
            raise ValueError('write "all", "0" or "0,2"')
        return value

    def taken(self) -> tuple[int, ...]:
        """The partitions that this process takes."""
        if self.partitions == "all":
            return tuple(range(self.partition_count))
        return tuple(sorted({int(part) for part in self.partitions.split(",")}))


class TimeseriesSettings(_Section):
    """The time-series store."""

    url: Annotated[str, AfterValidator(_timeseries_url)] = "embedded:"
    org: str = "greendc"
    bucket: Annotated[str, Field(min_length=1)] = "greendc"
    token: SecretStr = SecretStr("")
    token_file: Path | None = None
    raw_days: Annotated[int, Field(ge=0)] = 400


class RecordsSettings(_Section):
    """The records; without a URL an SQLite file in the data folder."""

    url: str = ""


class BoardSettings(_Section):
    """The board's listener and the address that people use."""

    host: str = "127.0.0.1"
    port: Port = 8050
    public_url: str = ""
    first_password_file: Path | None = None


class HealthSettings(_Section):
    """Listener of a process without the board: `/healthz`, `/readyz`, `/metrics`."""

    host: str = "127.0.0.1"
    port: Port = 9464


class LogSettings(_Section):
    """Log lines; without a format, text on a terminal and JSON elsewhere."""

    format: Literal["", "text", "json"] = ""
    level: Literal["debug", "info", "warning", "error"] = "info"


class SimsSettings(_Section):
    """Accounts of simulated sites: a file with one `site:password` a line."""

    accounts_file: Path | None = None


class Settings(_Section):
    """The whole tree; see `docs/settings.md`."""

    data_dir: Path = Path("data")
    sites_dir: Path = Path("config/sites")
    mappings_dir: Path = Path("config/mappings")
    factors_file: Path = Path("config/factors.toml")
    mqtt: MqttSettings = MqttSettings()
    ingest: IngestSettings = IngestSettings()
    timeseries: TimeseriesSettings = TimeseriesSettings()
    records: RecordsSettings = RecordsSettings()
    board: BoardSettings = BoardSettings()
    health: HealthSettings = HealthSettings()
    log: LogSettings = LogSettings()
    sims: SimsSettings = SimsSettings()

    @property
    def spool_dir(self) -> Path:
        """Folder of the spool files."""
        return self.data_dir / "spool"

    @property
    def reports_dir(self) -> Path:
        """Folder of the reports' files."""
        return self.data_dir / "reports"

    @property
    def records_url(self) -> str:
        """SQLAlchemy URL of the records."""
        if self.records.url:
            return self.records.url
        return f"sqlite:///{(self.data_dir / 'records.sqlite').absolute()}"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings with where each value came from.

    Attributes:
        origins: Dotted key -> file name or variable name; keys not named here are defaults.
    """

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    config_file: str | None = None, environment: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Read the settings file (argument, else `GREENDC_CONFIG`, else none) and the environment.

    Raises:
        ConfigurationError: With every problem found in file and environment.
    """
    variables = dict(os.environ if environment is None else environment)
    problems: list[Problem] = []
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    name = config_file or variables.get(CONFIG_VARIABLE, "")
    if name:
        tree = _read_file(Path(name), problems)
        for key in _leaves(tree):
            origins[key] = name
    _overlay(tree, variables, origins, problems)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems.extend(_problem(item, origins, name) for item in error.errors())
        raise ConfigurationError(problems) from None
    settings = _read_secrets(settings, origins, problems)
    problems.extend(_consistency(settings, origins))
    if problems:
        raise ConfigurationError(problems)
    return LoadedSettings(settings, origins)


def _read_file(path: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        problems.append(
            Problem(str(path), "", f"cannot be read: {reason}", "name a readable TOML file")
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), "", f"is not TOML: {error}", "mend the syntax"))
    return {}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict):
            keys.extend(_leaves(value, f"{prefix}{key}."))
        else:
            keys.append(f"{prefix}{key}")
    return keys


def known_variables() -> dict[str, str]:
    """Every variable that is a setting -> its dotted key."""
    found: dict[str, str] = {}
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            for key in section.model_fields:
                found[f"{PREFIX}{name.upper()}__{key.upper()}"] = f"{name}.{key}"
        else:
            found[f"{PREFIX}{name.upper()}"] = name
    return found


def _overlay(
    tree: dict[str, Any],
    variables: Mapping[str, str],
    origins: dict[str, str],
    problems: list[Problem],
) -> None:
    known = known_variables()
    for name in sorted(variables):
        if not name.startswith(PREFIX) or name.startswith(TEST_PREFIX) or name == CONFIG_VARIABLE:
            continue
        key = known.get(name)
        if key is None:
            problems.append(
                Problem(
                    "environment", name, "is no setting of greendc", "correct or unset the variable"
                )
            )
            continue
        value: Any = variables[name]
        if key == "ingest.partition_table":
            value = _partition_table(str(value))
        section, _, leaf = key.rpartition(".")
        target = tree
        if section:
            existing = tree.get(section)
            target = tree[section] = existing if isinstance(existing, dict) else {}
        target[leaf] = value
        origins[key] = name


def _partition_table(text: str) -> Any:
    # `site=0,other=1`; anything else is left for the validation to name.
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if all(separator for _, separator, _ in pairs):
        return {site.strip(): number.strip() for site, _, number in pairs}
    return text


def _problem(item: Any, origins: Mapping[str, str], file: str) -> Problem:
    key = ".".join(str(part) for part in item["loc"])
    origin = origins.get(key, file or "settings")
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        hint = "remove the key or correct its spelling (greendc config show lists all)"
        return Problem(origin, key, "is no setting of greendc", hint)
    shown = key if origin != origins.get(key) or not origin.startswith(PREFIX) else origin
    place = "environment" if origin.startswith(PREFIX) else origin
    return Problem(place, shown, message, "see docs/settings.md")


def _read_secrets(
    settings: Settings, origins: Mapping[str, str], problems: list[Problem]
) -> Settings:
    mqtt, timeseries = settings.mqtt, settings.timeseries
    if mqtt.password_file is not None:
        secret = _secret(mqtt.password_file, "mqtt.password_file", origins, problems)
        mqtt = mqtt.model_copy(update={"password": SecretStr(secret)})
    if timeseries.token_file is not None:
        secret = _secret(timeseries.token_file, "timeseries.token_file", origins, problems)
        timeseries = timeseries.model_copy(update={"token": SecretStr(secret)})
    return settings.model_copy(update={"mqtt": mqtt, "timeseries": timeseries})


def _secret(path: Path, key: str, origins: Mapping[str, str], problems: list[Problem]) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(
            Problem(
                origins.get(key, "settings"),
                key,
                f"{path} cannot be read: {error}",
                "name a file that this account can read",
            )
        )
        return ""


def _consistency(settings: Settings, origins: Mapping[str, str]) -> list[Problem]:
    problems = []
    mqtt, ingest, timeseries = settings.mqtt, settings.ingest, settings.timeseries
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        problems.append(
            Problem(
                origins.get("mqtt.cert_file", origins.get("mqtt.key_file", "settings")),
                "mqtt.cert_file",
                "certificate and key go together",
                "give both mqtt.cert_file and mqtt.key_file, or neither",
            )
        )
    outside = [number for number in ingest.taken() if number >= ingest.partition_count]
    if outside:
        problems.append(
            Problem(
                origins.get("ingest.partitions", "settings"),
                "ingest.partitions",
                f"partition {outside[0]} does not exist (there are {ingest.partition_count})",
                "raise ingest.partition_count or take fewer",
            )
        )
    for site, number in ingest.partition_table.items():
        if not 0 <= number < ingest.partition_count:
            problems.append(
                Problem(
                    origins.get(f"ingest.partition_table.{site}", "settings"),
                    f"ingest.partition_table.{site}",
                    f"partition {number} does not exist (there are {ingest.partition_count})",
                    "raise ingest.partition_count or choose another",
                )
            )
    if timeseries.url != "embedded:" and not timeseries.token.get_secret_value():
        problems.append(
            Problem(
                origins.get("timeseries.url", "settings"),
                "timeseries.token",
                "an InfluxDB needs a token",
                "set GREENDC_TIMESERIES__TOKEN_FILE or GREENDC_TIMESERIES__TOKEN",
            )
        )
    return problems


def mqtt_connection(settings: MqttSettings) -> MqttConnection:
    """The broker connection that the settings describe."""
    parts = urlsplit(settings.url)
    return MqttConnection(
        host=parts.hostname or "",
        port=parts.port or _DEFAULT_MQTT_PORTS[parts.scheme],
        version=settings.version,
        tls=parts.scheme == "mqtts",
        username=settings.username,
        password=settings.password.get_secret_value(),
        ca_file=str(settings.ca_file or ""),
        cert_file=str(settings.cert_file or ""),
        key_file=str(settings.key_file or ""),
    )


def describe(loaded: LoadedSettings) -> list[dict[str, Any]]:
    """Every setting with its value (secrets masked), its variable and where it came from."""
    rows = []
    dumped = loaded.settings.model_dump(mode="json")
    for variable, key in known_variables().items():
        section, _, leaf = key.rpartition(".")
        value = dumped[section][leaf] if section else dumped[leaf]
        if leaf in {"password", "token"}:
            value = "********" if value else ""
        origin = loaded.origins.get(key)
        if origin is None and key == "ingest.partition_table":
            origin = next((o for k, o in loaded.origins.items() if k.startswith(key)), None)
        if origin is None and leaf in {"password", "token"} and value:
            origin = loaded.origins.get(f"{key}_file")
        rows.append(
            {"key": key, "value": value, "variable": variable, "origin": origin or "default"}
        )
    return rows
