"""Mapping files: every problem at once, with file, key and hint; nothing is defaulted silently."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.site_files import build_registry
from ingest.mapping_files import (
    FieldModel,
    FileModel,
    RuleModel,
    TableModel,
    build_mappings,
    check_against_sites,
    parse_mapping_files,
)
from ingest.sparkplug_files import SparkplugFileModel, SparkplugRuleModel
from tests.ingest.registry import (
    MAPPING_FILE,
    PROMETHEUS_MAPPING,
    REGISTRY_FILE,
    SENML_MAPPING,
)

REGISTRY = build_registry({"test": REGISTRY_FILE})


def problems_of(text: str) -> list[tuple[str, str]]:
    _, problems = parse_mapping_files({"m.toml": text})
    assert all(problem.file == "m.toml" and problem.hint for problem in problems)
    return [(problem.key, problem.problem) for problem in problems]


def test_the_mapping_of_the_tests_is_right() -> None:
    (mapping,) = build_mappings({"m.toml": MAPPING_FILE})
    assert (mapping.dialect, mapping.precision, mapping.site_tag) == ("line-protocol", "ns", "site")
    assert [rule.measurement for rule in mapping.rules] == ["modbus", "ct", "station"]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('dialect = "line-protocol"', 'dialect = "carrier-pigeon"', "dialect"),
        ("schema = 1", "schema = 2", "schema"),
        ("schema = 1", 'schema = 1\nprecision = "m"', "precision"),
        ("schema = 1", "schema = 1\nunits = 1", "units"),
        ('"telegraf/+/meters/#"', '"senml/+/#"', "topic"),
        ('"telegraf/+/meters/#"', '"telegraf/#"', "topic"),
        ('"telegraf/+/meters/#"', '"telegraf/Site A/#"', "topic"),
        ('"telegraf/+/meters/#"', '"telegraf/+/#/x"', "topic"),
        ('"telegraf/+/meters/#"', '"telegraf/+/a+"', "topic"),
        ('family = "weather"', 'family = "wind"', "rules.2.family"),
        ('"temperature_c"', '"temprature_c"', "rules.2.fields.temperature.metric"),
        ('"degF"', '"F"', "rules.2.fields.temperature.unit"),
        ('"degF"', '"kW"', "rules.2.fields.temperature.unit"),
        ("scale = -1", "scale = 0", "rules.1.fields.p sum.scale"),
        ("scale = -1", "scale = nan", "rules.1.fields.p sum.scale"),
        ("scale = -1", "scalee = -1", "rules.1.fields.p sum.scalee"),
        ('unit = "kW", ', "", "rules.1.fields.p sum.unit"),
        ('"ct-{number}"', '"CT-{number}"', "rules.1.device"),
        ('"ct-{number}"', '"ct-{number"', "rules.1.device"),
        ('"ct-{number}"', '"ct-{number:4}"', "rules.1.device"),
        ('"ct-{number}"', '{ tag = "number" }', "rules.1.device.TableModel.table"),
        ('"2" = "grid-b"', '"2" = "Grid B"', "rules.0.device.table"),
        ('"state"]', '"power"]', "rules.0.ignore"),
        ('["internal"]', '["ct"]', "ignore_measurements"),
        ('measurement = "ct"', 'measurement = "station"', "rules.2"),
        ('"active_energy_kwh"', '"active_power_kw"', "rules.0.fields.energy.metric"),
    ],
)
def test_what_is_wrong_is_named(before: str, after: str, key: str) -> None:
    assert MAPPING_FILE.count(before) >= 1
    assert key in [found for found, _ in problems_of(MAPPING_FILE.replace(before, after, 1))]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("schema = 1", 'schema = 1\nprecision = "ms"', "precision"),
        ("schema = 1", 'schema = 1\ntime = "now"', "time"),
        ('family = "weather"', 'measurement = "x"\nfamily = "weather"', "rules.2.measurement"),
        ('family = "weather"', 'name = "x"\nfamily = "weather"', "rules.2.name"),
        ('family = "weather"\n', "", "rules.2.family"),
        ('device = "roof"\n', "", "rules.2.device"),
        ('combine = "mean"', 'combine = "sum"', "rules.2.fields.outdoor.temperature.combine"),
        ('ignore = ["*"]', 'ignore = ["a", "*"]', "rules.1.fields"),
        ('ignore = ["*"]', "", "rules.1.fields"),
        ("meter_power_watts =", "4711 =", "rules.0.fields.4711"),
        ('["meter_voltage_*"]', '["4711"]', "rules.0.ignore"),
        ("meter_power_watts =", '155 = { metric = "power_w", unit = "W" }\nx =',
         "rules.0.fields.155.metric"),
        ('"prometheus/+/#"', '"telegraf/+/#"', "topic"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_mapping_of_prometheus(before: str, after: str, key: str) -> None:
    assert PROMETHEUS_MAPPING.count(before) >= 1
    assert key in [found for found, _ in problems_of(PROMETHEUS_MAPPING.replace(before, after, 1))]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("schema = 1", 'schema = 1\nprecision = "ms"', "precision"),
        ('name = "weather/{station}"\n', "", "rules.1.name"),
        ('name = "weather/{station}"', 'measurement = "x"', "rules.1.measurement"),
        ("active_energy_kwh", "active_power_kw", "rules.0.sums"),
        ('unit = "J"', 'unit = "m3"', "rules.0.sums.power.unit"),
        ('["voltage", "current"]', '["voltage", "power"]', "rules.0.ignore"),
        ('"weather/{station}"', '"urn:dev:ow:{id}:{field}"', "rules.1"),
        ('"grid-b" }', '"Grid B" }', "rules.0.device.table"),
    ],
)
def test_what_is_wrong_with_a_mapping_of_senml(before: str, after: str, key: str) -> None:
    assert SENML_MAPPING.count(before) >= 1
    assert key in [found for found, _ in problems_of(SENML_MAPPING.replace(before, after, 1))]


def test_a_dcgm_field_is_mapped_by_its_number_or_by_its_name_and_not_by_both() -> None:
    mapping = """
schema = 1
dialect = "prometheus"
topic = "prometheus/+/#"
[[rules]]
family = "accelerator"
device = "gpu-{gpu}"
[rules.fields]
155 = { metric = "power_w", unit = "W" }
"""
    (file,) = build_mappings({"m.toml": mapping})
    assert {"DCGM_FI_DEV_POWER_USAGE", "dcgm_power_usage"} <= {*file.rules[0].fields}
    both = mapping + 'DCGM_FI_DEV_POWER_USAGE = { metric = "power_w", unit = "W" }\n'
    assert [key for key, _ in problems_of(both)] == ["rules.0.fields.DCGM_FI_DEV_POWER_USAGE"]


def test_sums_are_checked_against_the_site_file_too() -> None:
    own = SENML_MAPPING.replace("senml/+/", "senml/test-dc/").replace("grid-b", "mains")
    found = check_against_sites(build_mappings({"own": own}), REGISTRY)
    assert [problem.key for problem in found] == ["rules.0.family"]
    own = own.replace("mains", "ct-1")
    found = check_against_sites(build_mappings({"own": own}), REGISTRY)
    assert [problem.key for problem in found] == ["rules.0.fields.power.metric"]


def test_every_problem_of_every_file_is_told_at_once() -> None:
    bad = MAPPING_FILE.replace('"degF"', '"F"').replace("scale = -1", "scale = 0")
    with pytest.raises(ConfigurationError) as caught:
        build_mappings({"a.toml": bad, "b.toml": "schema =", "c.toml": MAPPING_FILE})
    assert [problem.file for problem in caught.value.problems] == ["a.toml", "a.toml", "b.toml"]


def test_a_site_s_own_mapping_is_checked_against_its_site_file() -> None:
    own = MAPPING_FILE.replace("telegraf/+/", "telegraf/test-dc/")
    found = check_against_sites(build_mappings({"own": own, "shared": MAPPING_FILE}), REGISTRY)
    assert [(problem.file, problem.key) for problem in found] == [
        ("own", "rules.0.fields.export.metric"),
        ("own", "rules.0.fields.export.metric"),
        ("own", "rules.0.device"),
    ]
    other = MAPPING_FILE.replace("telegraf/+/", "telegraf/elsewhere/")
    (problem,) = check_against_sites(build_mappings({"other": other}), REGISTRY)
    assert (problem.key, problem.hint) == ("topic", "known: test-dc")


def test_every_key_is_documented_and_nothing_else(repository: Path) -> None:
    text = (repository / "docs" / "mappings.md").read_text(encoding="utf-8")
    before, _, behind = text.partition("\n## Sparkplug\n")
    sparkplug, _, after = behind.partition("\n## ")
    page = before + after
    rows = re.findall(r"^\| `([\w.\[\]]+)` \|", page, re.MULTILINE)
    wanted = [info.alias or name for name, info in FileModel.model_fields.items()]
    wanted += [f"rules.{name}" for name in RuleModel.model_fields]
    wanted += [f"rules.device.{name}" for name in TableModel.model_fields]
    wanted += [f"rules.fields.{name}" for name in FieldModel.model_fields]
    assert sorted(rows) == sorted(wanted)
    own = set(re.findall(r"`([\w.]+)`", "".join(re.findall(r"^\| (`.*?) \|", sparkplug, re.M))))
    keys = {name for name in SparkplugFileModel.model_fields if name not in ("schema_", "dialect")}
    assert own == keys | {f"rules.{name}" for name in SparkplugRuleModel.model_fields}


def test_every_example_of_the_page_is_a_mapping(repository: Path) -> None:
    page = (repository / "docs" / "mappings.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(schema = 1\n.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert problems_of(example) == []


def test_the_ready_mappings_are_right(repository: Path) -> None:
    folder = repository / "config" / "mappings"
    files = {str(path): path.read_text(encoding="utf-8") for path in folder.glob("*.toml")}
    mappings = build_mappings(files)
    assert len(mappings) == len(files) >= 7
