"""Records in SQL: ledger, quarantine, work of analytics, accounts, audit."""
