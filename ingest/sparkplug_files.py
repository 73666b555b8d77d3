"""Sparkplug mapping files: the shape of the TOML, checked. See `docs/mappings.md`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from core.ids import SPARKPLUG_PREFIX, is_id
from ingest.mappings import Rule
from ingest.sparkplug_mapping import TOPIC_TAGS, SparkplugFile, placeholders, rule_tags

# Where a problem is, what it is, how to mend it.
Report = Callable[[str, str, str], None]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]
Account = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_FORBIDDEN = frozenset("+#/")


class SparkplugRuleModel(BaseModel):
    """`[[rules]]`: what metrics of a folder are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: str = ""
    tags: dict[str, NonEmpty | Annotated[list[NonEmpty], Field(min_length=1)]] = {}
    family: Literal["energy", "water", "solar", "accelerator", "weather"]
    device: Any
    fields: dict[str, Any] = Field(min_length=1)
    ignore: list[NonEmpty] = []


class SparkplugFileModel(BaseModel):
    """A whole mapping file of the dialect `sparkplug`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal[1] = Field(alias="schema")
    dialect: Literal["sparkplug"]
    topic: NonEmpty
    site: NonEmpty
    account: Account | None = None
    ignore: list[NonEmpty] = []
    fixed_aliases: bool = False
    without_time: Literal["refuse", "payload"] = "refuse"
    rules: list[SparkplugRuleModel] = Field(min_length=1)


def build_sparkplug_file(
    name: str,
    model: SparkplugFileModel,
    build_rule: Callable[[str, dict[str, Any]], Rule],
    report: Report,
) -> SparkplugFile:
    """The mapping file of a model; problems are reported.

    Args:
        build_rule: Makes and checks a rule as any dialect has it, from its place in the file and
            its members (`measurement`, `tags`, `family`, `device`, `fields`, `ignore`).
    """
    _check_topic(model.topic, report)
    if not is_id(model.site):
        report("site", f"{model.site!r} is no site id", "use [a-z0-9][a-z0-9_-]{0,63}")
    if model.account not in (None, model.site) and not str(model.account).startswith(
        f"{model.site}."
    ):
        report(
            "account",
            f"{model.account!r} is no account of the site {model.site}",
            f"{model.site}, or that of a gateway: {model.site}.<gateway>",
        )
    rules = []
    for number, rule in enumerate(model.rules):
        key = f"rules.{number}"
        members = rule.model_dump(exclude={"folder"})
        built = build_rule(key, {"measurement": rule.folder or "/", **members})
        built = Rule(
            rule.folder, built.tags, built.family, built.device, built.fields, built.ignored
        )
        _check_tags(key, built, report)
        rules.append(built)
    return SparkplugFile(
        name=name,
        dialect=model.dialect,
        topic=model.topic,
        rules=tuple(rules),
        site_tag="",
        site_id=model.site,
        account=model.account or model.site,
        ignored=tuple(model.ignore),
        fixed_aliases=model.fixed_aliases,
        payload_time=model.without_time == "payload",
    )


def _check_topic(topic: str, report: Report) -> None:
    levels = topic.split("/")
    fits = (
        len(levels) == 5
        and levels[0] == SPARKPLUG_PREFIX
        and levels[2] == "+"
        and levels[4] == "#"
        and _is_name(levels[1])
        and (levels[3] == "+" or _is_name(levels[3]))
    )
    if not fits:
        report(
            "topic",
            f"{topic!r} is no filter of whole edge nodes",
            f"{SPARKPLUG_PREFIX}/<group>/+/<edge node>/# for one, "
            f"{SPARKPLUG_PREFIX}/<group>/+/+/# for all of a group",
        )


def _is_name(text: str) -> bool:
    return bool(text) and text.isprintable() and not _FORBIDDEN.intersection(text)


def _check_tags(key: str, rule: Rule, report: Report) -> None:
    if rule.measurement.startswith("/") or rule.measurement.endswith("/"):
        report(f"{key}.folder", "begins or ends with a slash", "like Meters/{meter}")
    own = placeholders(rule.measurement)
    for name in own:
        if name in TOPIC_TAGS or own.count(name) > 1:
            report(
                f"{key}.folder",
                f"the placeholder {name!r} is given by the topic or stands twice",
                "choose another name for this level of the folder",
            )
    for name in sorted(rule_tags(rule) - {*TOPIC_TAGS, *own}):
        report(
            key,
            f"{name!r} is neither group, edge or device nor a placeholder of the folder",
            f"folder = 'Meters/{{{name}}}' would give it",
        )


def check_together(files: Iterable[SparkplugFile]) -> list[tuple[SparkplugFile, str, str, str]]:
    """What files say against each other: file, key, problem, hint."""
    problems = []
    by_group: dict[str, list[SparkplugFile]] = {}
    for file in files:
        by_group.setdefault(file.group, []).append(file)
    for of_group in by_group.values():
        for place, file in enumerate(of_group):
            for other in of_group[:place]:
                overlap = "+" in (file.edge, other.edge) or file.edge == other.edge
                if overlap and file.site != other.site:
                    problems.append(
                        (
                            file,
                            "site",
                            f"{other.name} gives edge nodes of {file.topic} to {other.site}",
                            "one edge node is of one site: correct the site or the topic",
                        )
                    )
    return problems
