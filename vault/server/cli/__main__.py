"""`python -m vault.server.cli`, which is how the supervisor starts its workers."""

from vault.server.cli.main import main

main()
