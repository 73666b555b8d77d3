"""Payloads as another implementation builds them: run by the interpreter that has `pysparkplug`.

Prints a list of [topic, payload in hex]: births, data by alias and by name, deaths, and the types.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pysparkplug as spb  # type: ignore[import-not-found]

TIME_MS = int(sys.argv[1])
GROUP = "spBv1.0/Test Plant"
METERS = "Meters/a/"


def metric(name: str | None, kind: Any, value: Any, alias: int | None = None) -> Any:
    return spb.Metric(timestamp=TIME_MS, name=name, datatype=kind, value=value, alias=alias)


def main() -> None:
    kinds = spb.DataType
    bd_seq = metric("bdSeq", kinds.INT64, 3)
    rebirth = metric("Node Control/Rebirth", kinds.BOOLEAN, False)
    energy = metric(METERS + "Energy", kinds.UINT64, 2**40, alias=11)
    power = metric(METERS + "Active Power", kinds.INT32, -5000, alias=10)
    voltage = metric(METERS + "Voltage L1", kinds.FLOAT, 229.5, alias=13)
    make = metric("Properties/Make", kinds.STRING, "에이씨엠이", alias=14)
    other = metric("Meters/b/Active Power", kinds.INT16, 1234, alias=12)
    built = [
        ("NBIRTH/edge-1", spb.NBirth(TIME_MS, 0, (bd_seq, rebirth, make))),
        ("DBIRTH/edge-1/PLC", spb.DBirth(TIME_MS, 1, (power, energy, voltage, other))),
        (
            "DDATA/edge-1/PLC",
            spb.DData(
                TIME_MS + 1000,
                2,
                tuple(
                    spb.Metric(timestamp=TIME_MS + 1000, name=None, **rest)
                    for rest in (
                        {"datatype": kinds.INT32, "value": 6000, "alias": 10},
                        {"datatype": kinds.UINT64, "value": 2**40 + 10, "alias": 11},
                        {"datatype": kinds.INT16, "value": None, "alias": 12, "is_null": True},
                    )
                ),
            ),
        ),
        (
            "DDATA/edge-1/PLC",
            spb.DData(
                TIME_MS + 2000,
                3,
                (
                    spb.Metric(
                        timestamp=TIME_MS + 2000,
                        name="Meters/b/Active Power",
                        datatype=kinds.INT16,
                        value=-300,
                    ),
                ),
            ),
        ),
        ("DDEATH/edge-1/PLC", spb.DDeath(TIME_MS + 3000, 4)),
        ("NDEATH/edge-1", spb.NDeath(TIME_MS, bd_seq)),
    ]
    json.dump([[f"{GROUP}/{topic}", item.encode().hex()] for topic, item in built], sys.stdout)


main()
