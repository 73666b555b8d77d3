"""The board: pages, live feed and REST API of one ASGI process, behind sign-in."""
