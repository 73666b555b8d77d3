"""Mapping files: TOML text in, `Mappings` out, with every problem of every file reported at once.

The shape is described in `docs/mappings.md`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.errors import ConfigurationError, Problem
from core.ids import is_id
from core.metrics import family_metrics
from core.sites import Site, SiteRegistry
from core.units import conversion
from ingest.dcgm_fields import DCGM_FIELDS, names_of_field
from ingest.mappings import (
    MAPPED_DIALECTS,
    PLACEHOLDER,
    DeviceName,
    FieldTarget,
    MappingFile,
    Mappings,
    NamePattern,
    Rule,
)
from ingest.sparkplug_files import SparkplugFileModel, build_sparkplug_file, check_together
from ingest.sparkplug_mapping import SparkplugFile

NonEmpty = Annotated[str, StringConstraints(min_length=1)]


_ModelOf = TypeVar("_ModelOf", bound=BaseModel)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldModel(_Model):
    """`[rules.fields]`: what one field is."""

    metric: NonEmpty
    unit: NonEmpty
    scale: float = 1.0
    combine: Literal["", "mean", "max"] = ""


class TableModel(_Model):
    """`device` as a table: which device a tag's value means."""

    tag: NonEmpty
    table: dict[str, str] = Field(min_length=1)


class RuleModel(_Model):
    """`[[rules]]`: what some lines, samples or records are."""

    measurement: NonEmpty | None = None
    name: NonEmpty | None = None
    tags: dict[str, NonEmpty | Annotated[list[NonEmpty], Field(min_length=1)]] = {}
    family: Literal["energy", "water", "solar", "accelerator", "weather"] | None = None
    device: NonEmpty | TableModel | None = None
    fields: dict[str, FieldModel] = {}
    sums: dict[str, FieldModel] = {}
    ignore: list[NonEmpty] = []


class FileModel(_Model):
    """A whole mapping file."""

    schema_: Literal[1] = Field(alias="schema")
    dialect: Literal["line-protocol", "prometheus", "senml"]
    topic: NonEmpty
    precision: Literal["s", "ms", "us", "ns"] | None = None
    time: Literal["sent", "receipt"] | None = None
    site_tag: str = "site"
    ignore_measurements: list[NonEmpty] = []
    rules: list[RuleModel] = Field(min_length=1)


@dataclass(slots=True)
class _Findings:
    file: str
    problems: list[Problem]

    def add(self, key: str, problem: str, hint: str) -> None:
        self.problems.append(Problem(self.file, key, problem, hint))


def parse_mapping_files(files: Mapping[str, str]) -> tuple[Mappings, list[Problem]]:
    """Read every file; files with a problem are left out.

    Args:
        files: Path -> text.
    """
    found: list[MappingFile] = []
    problems: list[Problem] = []
    for name, text in sorted(files.items()):
        findings = _Findings(name, [])
        file = _parse_file(text, findings)
        problems += findings.problems
        if file is not None and not findings.problems:
            found.append(file)
    sparkplug = [file for file in found if isinstance(file, SparkplugFile)]
    for file, key, problem, hint in check_together(sparkplug):
        problems.append(Problem(file.name, key, problem, hint))
    return Mappings(found), problems


def build_mappings(files: Mapping[str, str]) -> Mappings:
    """The mappings of these files.

    Raises:
        ConfigurationError: With every problem of every file.
    """
    mappings, problems = parse_mapping_files(files)
    if problems:
        raise ConfigurationError(problems)
    return mappings


def check_against_sites(mappings: Mappings, registry: SiteRegistry) -> list[Problem]:
    """What a mapping says that the site files do not know.

    A file that sites share is checked for no site: it may name devices that only some of them have.
    """
    problems: list[Problem] = []
    for file in mappings:
        findings = _Findings(file.name, problems)
        if not file.site:
            continue
        site = registry.find(file.site)
        if site is None:
            known = ", ".join(other.id for other in registry)
            findings.add("topic", f"no site {file.site!r} in the registry", f"known: {known}")
            continue
        if isinstance(file, SparkplugFile):
            accounts = [site.id, *(f"{site.id}.{gateway}" for gateway in site.gateways)]
            if file.account not in accounts:
                findings.add(
                    "account",
                    f"site {site.id} has no gateway of the account {file.account!r}",
                    f"one of {', '.join(accounts)}; or declare it in the site's gateways",
                )
        for number, rule in enumerate(file.rules):
            _check_rule_against_site(f"rules.{number}", rule, site, findings)
    return problems


def _check_rule_against_site(key: str, rule: Rule, site: Site, findings: _Findings) -> None:
    if not (rule.fields or rule.sums):
        return
    for name in dict.fromkeys(rule.device.fixed()):
        device = site.devices.get(name)
        if device is None:
            findings.add(
                f"{key}.device",
                f"site {site.id} has no device {name!r}",
                "declare it in the site file, or correct the name",
            )
        elif device.family != rule.family:
            findings.add(
                f"{key}.family",
                f"{name} of {site.id} is of {device.family}, not {rule.family}",
                "correct the family",
            )
        else:
            for field, target in (*rule.fields.items(), *rule.sums.items()):
                if target.metric not in device.metrics():
                    findings.add(
                        f"{key}.fields.{field}.metric",
                        f"{name} of {site.id} does not declare {target.metric}",
                        "add the metric to the device in the site file",
                    )


def _parse_file(text: str, findings: _Findings) -> MappingFile | None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        findings.add("", f"is not TOML: {error}", "mend the syntax")
        return None
    if tree.get("dialect") == "sparkplug":
        sparkplug = _validated(SparkplugFileModel, tree, "", findings)
        if sparkplug is None:
            return None
        return build_sparkplug_file(
            findings.file,
            sparkplug,
            lambda key, members: _sparkplug_rule(key, members, findings),
            findings.add,
        )
    model = _validated(FileModel, tree, "", findings)
    if model is None:
        return None
    _check_topic(model, findings)
    _check_dialect(model, findings)
    rules = tuple(
        _rule(f"rules.{number}", rule, findings, model.dialect)
        for number, rule in enumerate(model.rules)
    )
    seen: set[tuple[str, tuple[tuple[str, frozenset[str]], ...]]] = set()
    for number, rule in enumerate(rules):
        spoken_of = rule.pattern.template if rule.pattern else rule.measurement
        what = (spoken_of, tuple(sorted(rule.tags.items())))
        if what in seen and spoken_of:
            findings.add(
                f"rules.{number}",
                f"an earlier rule has the same measurement {spoken_of!r} and tags",
                "join them, or tell them apart by tags",
            )
        seen.add(what)
        if rule.measurement in model.ignore_measurements:
            findings.add(
                "ignore_measurements",
                f"{rule.measurement!r} is ignored, and rules.{number} maps it",
                "do one of the two",
            )
    return MappingFile(
        name=findings.file,
        dialect=model.dialect,
        topic=model.topic,
        rules=rules,
        precision=model.precision or "ns",
        time=model.time or "sent",
        site_tag=model.site_tag,
        ignored_measurements=frozenset(model.ignore_measurements),
    )


def _validated(
    model: type[_ModelOf], tree: Mapping[str, Any], key: str, findings: _Findings
) -> _ModelOf | None:
    """The tree as a model; None, and every problem reported, where it is none."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        for item in error.errors():
            where = ".".join(str(part) for part in (*([key] if key else []), *item["loc"]))
            findings.add(where, str(item["msg"]), _hint(item["type"]))
        return None


def _sparkplug_rule(key: str, members: Mapping[str, Any], findings: _Findings) -> Rule:
    model = _validated(RuleModel, members, key, findings)
    if model is None:
        return Rule("", {}, "energy", DeviceName(), {})
    return _rule(key, model, findings)


def _hint(kind: str) -> str:
    if kind == "extra_forbidden":
        return "remove the key or correct its spelling"
    return "add the key" if kind == "missing" else "see docs/mappings.md"


def _check_topic(model: FileModel, findings: _Findings) -> None:
    prefix = MAPPED_DIALECTS[model.dialect]
    levels = model.topic.split("/")
    hint = f"{prefix}/<site>/# for one site, {prefix}/+/# for all"
    if levels[0] != prefix:
        problem = f"{model.topic!r} is no topic of {model.dialect}, whose prefix is {prefix}/"
        findings.add("topic", problem, hint)
    elif len(levels) < 2 or not (levels[1] == "+" or is_id(levels[1])):
        findings.add("topic", f"{model.topic!r} has no site at its second level", hint)
    elif any(
        ("#" in level and (level != "#" or place < len(levels) - 1))
        or ("+" in level and level != "+")
        for place, level in enumerate(levels)
    ):
        findings.add("topic", f"{model.topic!r} is no MQTT topic filter", hint)


# Keys of a file or rule that only these dialects have.
_KEYS_OF_DIALECT = {
    "precision": ("line-protocol",),
    "time": ("prometheus", "senml"),
    "measurement": ("line-protocol",),
    "name": ("senml",),
    "sums": ("senml",),
}


def _check_dialect(model: FileModel, findings: _Findings) -> None:
    for key in ("precision", "time"):
        if getattr(model, key) is not None:
            _check_key(key, key, model.dialect, findings)
    for number, rule in enumerate(model.rules):
        for key in ("measurement", "name", "sums"):
            where = f"rules.{number}.{key}"
            if getattr(rule, key):
                _check_key(where, key, model.dialect, findings)
            elif key != "sums" and model.dialect in _KEYS_OF_DIALECT[key]:
                findings.add(where, f"a rule of {model.dialect} needs a {key}", "add the key")


def _check_key(where: str, key: str, dialect: str, findings: _Findings) -> None:
    if dialect not in _KEYS_OF_DIALECT[key]:
        known = " and ".join(_KEYS_OF_DIALECT[key])
        findings.add(where, f"{dialect} knows no {key}, only {known} does", "remove the key")


def _rule(key: str, model: RuleModel, findings: _Findings, dialect: str = "") -> Rule:
    number_names = dialect == "prometheus"
    fields = _targets(f"{key}.fields", model.fields, model.family, dialect, findings)
    sums = _targets(f"{key}.sums", model.sums, model.family, dialect, findings)
    both = {target.metric for target in fields.values()} & {t.metric for t in sums.values()}
    for metric in sorted(both):
        findings.add(f"{key}.sums", f"{metric} is given by a field too", "ignore one of the two")
    ignored = tuple(
        name
        for text in model.ignore
        for name in _names(f"{key}.ignore", text, number_names, findings)
    )
    for name in (*fields, *sums):
        if name in ignored:
            findings.add(f"{key}.ignore", f"{name!r} is mapped too", "do one of the two")
    if fields or sums:
        for name in ("family", "device"):
            if getattr(model, name) is None:
                findings.add(f"{key}.{name}", f"a rule with fields needs a {name}", "add the key")
    elif ignored != ("*",):
        findings.add(
            f"{key}.fields",
            "a rule without fields passes over all that fits it, and says so",
            'add fields, or ignore = ["*"]',
        )
    return Rule(
        measurement=model.measurement or "",
        tags={
            name: frozenset([value] if isinstance(value, str) else value)
            for name, value in model.tags.items()
        },
        family=model.family or "",
        device=_device(f"{key}.device", model.device, findings) if model.device else DeviceName(),
        fields=fields,
        ignored=ignored,
        pattern=NamePattern(model.name) if model.name else None,
        sums=sums,
    )


def _targets(
    key: str,
    models: Mapping[str, FieldModel],
    family: str | None,
    dialect: str,
    findings: _Findings,
) -> dict[str, FieldTarget]:
    known = family_metrics(family) if family else {}
    targets: dict[str, FieldTarget] = {}
    by_metric: dict[str, str] = {}
    for name, model in models.items():
        where = f"{key}.{name}"
        target = FieldTarget(model.metric, model.unit, model.scale, model.combine)
        for sent in _names(where, name, dialect == "prometheus", findings):
            if sent in targets:
                findings.add(where, f"{sent} is mapped twice", "by its name or by its number")
            targets[sent] = target
        metric = known.get(target.metric)
        if metric is None:
            if family:
                problem = f"unknown metric {target.metric!r} of {family}"
                findings.add(f"{where}.metric", problem, f"one of {', '.join(known)}")
            continue
        try:
            conversion(target.unit, metric.unit)
        except KeyError:
            hint = f"a spelling of docs/metrics.md; the store holds {metric.unit}"
            findings.add(f"{where}.unit", f"unknown unit {target.unit!r}", hint)
        except ValueError as error:
            findings.add(f"{where}.unit", str(error), f"the store holds {metric.unit}")
        if not math.isfinite(target.scale) or target.scale == 0:
            hint = "a factor such as 0.1, or -1 for the sign"
            findings.add(f"{where}.scale", f"{target.scale} is no factor", hint)
        other = by_metric.setdefault(target.metric, name)
        # Samples and records come one by one; of the fields of a line only one could stand.
        if other != name and dialect not in ("prometheus", "senml"):
            problem = f"{target.metric} is given by the field {other!r} too"
            findings.add(f"{where}.metric", problem, "ignore one of the two fields")
    return targets


def _names(key: str, text: str, number_names: bool, findings: _Findings) -> tuple[str, ...]:
    """The names that a key of `fields` or an item of `ignore` means: DCGM fields have numbers."""
    names = names_of_field(text) if number_names else (text,)
    if not names:
        hint = f"one of {', '.join(map(str, DCGM_FIELDS))}, or the name as the exporter writes it"
        findings.add(key, f"no DCGM field {text} is known by its number", hint)
    return names


def _device(key: str, model: str | TableModel, findings: _Findings) -> DeviceName:
    if isinstance(model, TableModel):
        _check_ids(f"{key}.table", model.table.values(), findings)
        return DeviceName(tag=model.tag, table=dict(model.table))
    # An id without its placeholders, each taken for one character that ids may hold.
    if not is_id(PLACEHOLDER.sub("0", model)):
        findings.add(
            key,
            f"{model!r} is no device id and no template of one",
            "an id ([a-z0-9][a-z0-9_-]{0,63}), or one with {tag} or {tag:04} in it",
        )
    return DeviceName(template=model)


def _check_ids(key: str, names: Iterable[str], findings: _Findings) -> None:
    for name in dict.fromkeys(names):
        if not is_id(name):
            findings.add(key, f"{name!r} is no device id", "use [a-z0-9][a-z0-9_-]{0,63}")
