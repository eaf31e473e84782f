"""The server: settings, database, command line, pages, and the rooms put together."""
