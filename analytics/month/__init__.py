"""The content of one month of one site: what a report freezes."""
