"""MQTT bytes to stored readings: decode, normalise, spool, forward; quarantine and ledger."""
