"""The newest revision, so that no test names it."""

from alembic.script import ScriptDirectory

from vault.server import database

NEWEST = ScriptDirectory.from_config(database._config()).get_current_head()
