"""The front door: command line, settings, wiring of every process, the all-in-one runner."""
