"""Contracts by which a site buys electricity: what a market-based figure rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


@dataclass(frozen=True, slots=True)
class SupplyContract:
    """One contract instrument; `share` or `volume_mwh` says how much of the imports it covers.

    Attributes:
        kind: `ppa`, `certificates` (bought apart), `green_premium` or `supplier` (a tariff with its
            own factor).
        share: Of the imported electricity, 0..1.
        volume_mwh: Procured from `valid_from` to `valid_to`, in equal parts a second.
        kgco2eq_per_kwh: Emission factor of what is procured.
        renewable: Whether it is renewable energy.
        certificates: `cancelled` for this site, `none_issued`, or `sold`: then the contract gives
            neither a factor nor renewable energy.
        valid_from: First local day.
        valid_to: Day after the last one; None while it is in force.
    """

    id: str
    kind: str
    share: float | None
    volume_mwh: float | None
    kgco2eq_per_kwh: float
    renewable: bool
    certificates: str
    source: str
    valid_from: date
    valid_to: date | None = None

    @property
    def counts(self) -> bool:
        """Whether the attributes of the energy are the site's."""
        return self.certificates != "sold"

    def covers(self, day: date) -> bool:
        """Whether the contract is in force on `day`."""
        return self.valid_from <= day and (self.valid_to is None or day < self.valid_to)


class SupplyContractModel(BaseModel):
    """`[[supply_contracts]]` of a site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: _Text
    kind: Literal["ppa", "certificates", "green_premium", "supplier"]
    share: float | None = Field(default=None, gt=0, le=1)
    volume_mwh: float | None = Field(default=None, gt=0)
    kgco2eq_per_kwh: float = Field(ge=0, le=3)
    renewable: bool
    certificates: Literal["cancelled", "none_issued", "sold"]
    source: _Text
    valid_from: date
    valid_to: date | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SupplyContractModel:
        if (self.share is None) == (self.volume_mwh is None):
            raise ValueError("give either share (0..1) or volume_mwh")
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("valid_to is not after valid_from; it is the day after the last one")
        if self.volume_mwh is not None and self.valid_to is None:
            raise ValueError("volume_mwh needs valid_to: so much from when to when")
        return self

    def contract(self) -> SupplyContract:
        """The contract."""
        return SupplyContract(**self.model_dump())


def overbooked_day(contracts: Sequence[SupplyContract]) -> date | None:
    """The first day on which the shares are more than the whole; None without one."""
    shared = [contract for contract in contracts if contract.share is not None]
    for day in sorted({contract.valid_from for contract in shared}):
        total = sum(c.share or 0.0 for c in shared if c.covers(day))
        if total > 1.0 + 1e-9:
            return day
    return None
