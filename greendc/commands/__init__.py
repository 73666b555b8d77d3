"""One module per group of commands; heavy imports stand inside their functions."""
