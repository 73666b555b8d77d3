"""The gate: 95 %, 80 %, and the rounding error between."""

import pytest

from core.ledger import LedgerCounts
from core.quality import Gate, Verdict


@pytest.mark.parametrize(
    ("coverages", "verdict"),
    [
        ((1.0, 0.95), Verdict.FINAL),
        ((0.9499, 1.0), Verdict.PROVISIONAL),
        ((0.80,), Verdict.PROVISIONAL),
        ((0.7999, 1.0), Verdict.REFUSED),
        ((sum([0.05] * 19), None), Verdict.FINAL),
        ((), Verdict.REFUSED),
    ],
)
def test_verdict_is_that_of_the_least_coverage(
    coverages: tuple[float | None, ...], verdict: Verdict
) -> None:
    assert Gate().verdict(*coverages) is verdict


def test_an_impossible_gate_is_refused() -> None:
    with pytest.raises(ValueError, match="provisional"):
        Gate(final=0.7, provisional=0.8)


def test_a_ledger_balances_only_when_every_reading_has_a_verdict() -> None:
    one = LedgerCounts(received=3, stored=1, duplicate=1, quarantined=1, late=3)
    assert one.balanced
    assert (one + LedgerCounts(received=1, rejected=1)).balanced
    assert not (one + LedgerCounts(received=1)).balanced
