"""An encoder of Sparkplug B payloads of the tests' own, so that a fault cannot cancel itself out.

It writes protobuf from a description of messages (`FIELDS`), whereas the decoder walks bytes. The
JSON shape of a payload is the specification's: `{"timestamp", "metrics": [{"name", "alias",
"timestamp", "dataType", "value", "isNull", …}], "seq"}`.
"""

from __future__ import annotations

import struct
from typing import Any

# Message -> field -> (number, kind).
FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "payload": {
        "timestamp": (1, "uint64"),
        "metrics": (2, "metric"),
        "seq": (3, "uint64"),
        "uuid": (4, "string"),
        "body": (5, "bytes"),
    },
    "metric": {
        "name": (1, "string"),
        "alias": (2, "uint64"),
        "timestamp": (3, "uint64"),
        "datatype": (4, "uint32"),
        "is_historical": (5, "bool"),
        "is_transient": (6, "bool"),
        "is_null": (7, "bool"),
        "metadata": (8, "bytes"),
        "properties": (9, "property_set"),
        "int_value": (10, "uint32"),
        "long_value": (11, "uint64"),
        "float_value": (12, "float"),
        "double_value": (13, "double"),
        "boolean_value": (14, "bool"),
        "string_value": (15, "string"),
        "bytes_value": (16, "bytes"),
        "dataset_value": (17, "bytes"),
        "template_value": (18, "bytes"),
    },
    "property_set": {"keys": (1, "string"), "values": (2, "property_value")},
    "property_value": {
        "type": (1, "uint32"),
        "is_null": (2, "bool"),
        "int_value": (3, "uint32"),
        "long_value": (4, "uint64"),
        "string_value": (8, "string"),
    },
}
TYPES = {
    "Int8": (1, "int_value"),
    "Int16": (2, "int_value"),
    "Int32": (3, "int_value"),
    "Int64": (4, "long_value"),
    "UInt8": (5, "int_value"),
    "UInt16": (6, "int_value"),
    "UInt32": (7, "int_value"),
    "UInt64": (8, "long_value"),
    "Float": (9, "float_value"),
    "Double": (10, "double_value"),
    "Boolean": (11, "boolean_value"),
    "String": (12, "string_value"),
    "DateTime": (13, "long_value"),
    "Text": (14, "string_value"),
    "UUID": (15, "string_value"),
    "DataSet": (16, "dataset_value"),
    "Bytes": (17, "bytes_value"),
    "Template": (19, "template_value"),
}


def varint(number: int) -> bytes:
    out = b""
    while True:
        low, number = number & 0x7F, number >> 7
        out += bytes([low | (0x80 if number else 0)])
        if not number:
            return out


def encode_message(kind: str, document: dict[str, Any]) -> bytes:
    """Bytes of a message whose members are named as in `FIELDS`."""
    out = b""
    for name, value in document.items():
        number, of = FIELDS[kind][name]
        for item in value if isinstance(value, list) else [value]:
            out += _encode_field(number, of, item)
    return out


def _encode_field(number: int, kind: str, value: Any) -> bytes:
    if kind in ("uint64", "uint32", "bool"):
        return varint(number << 3) + varint(int(value))
    if kind == "double":
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if kind == "float":
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if kind == "string":
        body = value.encode()
    elif kind == "bytes":
        body = bytes(value)
    else:
        body = encode_message(kind, value)
    return varint(number << 3 | 2) + varint(len(body)) + body


def encode_metric(document: dict[str, Any]) -> dict[str, Any]:
    """A metric in the specification's JSON -> members of the wire."""
    members: dict[str, Any] = {}
    for name, member in (("name", "name"), ("alias", "alias"), ("timestamp", "timestamp")):
        if name in document:
            members[member] = document[name]
    kind = document.get("dataType", document.get("datatype"))
    sends_type = document.get("sendsType", True)
    code, field = TYPES[kind] if kind else (0, document.get("field", "double_value"))
    if kind and sends_type:
        members["datatype"] = code
    for name, member in (
        ("isHistorical", "is_historical"),
        ("isTransient", "is_transient"),
        ("isNull", "is_null"),
    ):
        if name in document:
            members[member] = document[name]
    if "quality" in document:
        members["properties"] = {
            "keys": ["Quality"],
            "values": [{"type": 3, "int_value": document["quality"]}],
        }
    if "value" in document:
        value = document["value"]
        if isinstance(value, int) and value < 0:
            value &= (1 << (64 if field == "long_value" else 32)) - 1
        members[field] = b"\x08\x01" if field in ("dataset_value", "template_value") else value
    return members


def encode_payload(document: dict[str, Any]) -> bytes:
    """Bytes of a payload in the specification's JSON."""
    members: dict[str, Any] = {}
    if "timestamp" in document:
        members["timestamp"] = document["timestamp"]
    members["metrics"] = [encode_metric(metric) for metric in document.get("metrics", [])]
    if "seq" in document:
        members["seq"] = document["seq"]
    return encode_message("payload", members)


def payload(
    seq: int | None, time_ms: int, *metrics: dict[str, Any], bd_seq: int | None = None
) -> bytes:
    """A payload of metrics; a NBIRTH's or NDEATH's also has the number of its session."""
    found = [{"timestamp": time_ms, **metric} for metric in metrics]
    if bd_seq is not None:
        found.insert(
            0, {"name": "bdSeq", "timestamp": time_ms, "dataType": "Int64", "value": bd_seq}
        )
    document: dict[str, Any] = {"timestamp": time_ms, "metrics": found}
    if seq is not None:
        document["seq"] = seq
    return encode_payload(document)
