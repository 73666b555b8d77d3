"""Reason codes of refused readings: one table for ingest, commands, board and documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.text import Text

QUARANTINED: Literal["quarantined"] = "quarantined"
REJECTED: Literal["rejected"] = "rejected"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a reading was refused, and what becomes of it.

    `quarantined` keeps the bytes to be mended and replayed; `rejected` is counted and audited with
    a hash and the first KiB.
    """

    code: str
    verdict: Literal["quarantined", "rejected"]
    text: Text


_ROWS: list[tuple[str, Literal["quarantined", "rejected"], str, str]] = [
    (
        "unknown_topic",
        QUARANTINED,
        "정해지지 않았거나 매핑이 없는 토픽입니다",
        "The topic is not one of the wire format, or no mapping covers it",
    ),
    ("empty_message", QUARANTINED, "빈 메시지입니다", "The message is empty"),
    ("not_utf8", QUARANTINED, "UTF-8이 아닙니다", "The payload is not valid UTF-8"),
    (
        "byte_order_mark",
        QUARANTINED,
        "바이트 순서 표식(BOM)이 있습니다",
        "The payload begins with a byte-order mark",
    ),
    ("not_json", QUARANTINED, "JSON이 아닙니다", "The payload is not valid JSON"),
    ("not_cbor", QUARANTINED, "CBOR이 아닙니다", "The payload is not valid CBOR"),
    (
        "duplicate_key",
        QUARANTINED,
        "같은 키가 두 번 있습니다",
        "The same key stands twice",
    ),
    (
        "malformed_line",
        QUARANTINED,
        "줄이 정해진 형식에 맞지 않습니다",
        "The line does not follow the syntax of its dialect",
    ),
    (
        "malformed_protobuf",
        QUARANTINED,
        "Sparkplug B 페이로드(protobuf)를 읽을 수 없습니다",
        "The payload is not a readable Sparkplug B payload (protobuf)",
    ),
    (
        "no_birth",
        QUARANTINED,
        "이 지표가 무엇인지 알려 주는 유효한 BIRTH 메시지가 없습니다",
        "No Sparkplug birth in force says what the metric is",
    ),
    ("too_deep", QUARANTINED, "중첩이 너무 깊습니다", "The payload is nested too deeply"),
    (
        "too_many_readings",
        QUARANTINED,
        "한 메시지의 측정값 수가 한도를 넘었습니다",
        "More readings in one message than allowed",
    ),
    (
        "wrong_shape",
        QUARANTINED,
        "메시지의 형식이 정해진 모양이 아닙니다",
        "The message does not have one of the agreed shapes",
    ),
    ("wrong_type", QUARANTINED, "값의 자료형이 맞지 않습니다", "A member has the wrong type"),
    ("missing_time", QUARANTINED, "시각(ts)이 없습니다", "The time stamp (ts) is missing"),
    (
        "time_without_offset",
        QUARANTINED,
        "시각에 시간대 오프셋이 없습니다",
        "The time stamp has no offset from UTC",
    ),
    (
        "malformed_time",
        QUARANTINED,
        "시각의 형식이 RFC 3339가 아닙니다",
        "The time stamp is not RFC 3339",
    ),
    (
        "time_in_future",
        QUARANTINED,
        "시각이 서버보다 5분 넘게 앞섭니다",
        "The time stamp is more than 5 minutes ahead of the server",
    ),
    (
        "time_too_old",
        QUARANTINED,
        "시각이 늦은 자료 허용 기간보다 오래되었습니다",
        "The time stamp is older than the site's late window",
    ),
    ("missing_values", QUARANTINED, "측정값(values)이 없습니다", "The reading has no values"),
    (
        "not_a_number",
        QUARANTINED,
        "측정값이 유한한 수가 아닙니다",
        "A value is not a finite number",
    ),
    (
        "out_of_range",
        QUARANTINED,
        "측정값이 타당한 범위를 벗어났습니다",
        "A value lies outside the metric's plausible range",
    ),
    (
        "unknown_metric",
        QUARANTINED,
        "등록되지 않았거나 매핑에 없는 지표입니다",
        "The metric is not in the catalogue, not declared for this device, or in no mapping",
    ),
    (
        "unknown_unit",
        QUARANTINED,
        "알 수 없거나 맞지 않는 단위입니다",
        "The declared unit is unknown or measures something else",
    ),
    (
        "unknown_device",
        QUARANTINED,
        "등록되지 않았거나 매핑에 없는 장치입니다",
        "The device is not in the site's registry, or the mapping names none",
    ),
    (
        "missing_device",
        QUARANTINED,
        "장치 이름이 없습니다",
        "A reading on a gateway topic does not name its device",
    ),
    (
        "device_mismatch",
        QUARANTINED,
        "메시지의 장치가 토픽과 다릅니다",
        "The payload names another device than the topic",
    ),
    (
        "family_mismatch",
        QUARANTINED,
        "장치가 토픽의 분류에 속하지 않습니다",
        "The device belongs to another family than the topic",
    ),
    ("name_too_long", QUARANTINED, "이름이 64자를 넘습니다", "A name is longer than 64 characters"),
    (
        "bad_sequence",
        QUARANTINED,
        "순번(seq)이 올바르지 않습니다",
        "The sequence number is not an unsigned 32-bit integer",
    ),
    (
        "bad_quality",
        QUARANTINED,
        "품질 표시가 올바르지 않습니다",
        "The quality is not one of the four",
    ),
    (
        "conflicting_value",
        QUARANTINED,
        "같은 시각에 다른 값이 이미 있습니다",
        "Another value is already held for the same device, time and metric",
    ),
    (
        "refused_by_store",
        QUARANTINED,
        "저장소가 이 값을 받지 않았습니다",
        "The time-series store refused this reading",
    ),
    (
        "rate_cap",
        QUARANTINED,
        "사업장의 초당 측정값 한도를 넘었습니다",
        "The site exceeded its cap of readings per second",
    ),
    ("unknown_site", REJECTED, "등록되지 않은 사업장입니다", "The site is not in the registry"),
    (
        "payload_too_large",
        REJECTED,
        "메시지가 크기 한도를 넘었습니다",
        "The payload is larger than allowed",
    ),
    (
        "site_mismatch",
        REJECTED,
        "메시지가 다른 사업장을 가리킵니다",
        "The payload names another site than its topic",
    ),
]

REASONS: dict[str, Reason] = {
    code: Reason(code, verdict, Text(ko, en)) for code, verdict, ko, en in _ROWS
}
