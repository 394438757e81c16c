"""The numbered migrations of `archive/schema`, applied when a site starts."""

from collections.abc import Iterator
from importlib import resources

from archive.pool import connect, translated_errors

_LOCK = 0x5E0A_0001  # key of the advisory lock that lets one process migrate at a time


def migrate(database_url: str) -> list[str]:
    """Bring the schema up to date, one transaction a migration, and return what was applied.

    Safe to call from any number of processes at once. Raises Unavailable.
    """
    with connect(database_url, autocommit=True) as connection, translated_errors():
        connection.execute("select pg_advisory_lock(%s)", [_LOCK])
        connection.execute(
            "create table if not exists migration (name text primary key, applied_at timestamptz default now())"
        )
        applied = {name for (name,) in connection.execute("select name from migration")}
        pending = [(name, sql) for name, sql in _migrations() if name not in applied]
        for name, sql in pending:
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute("insert into migration (name) values (%s)", [name])
    return [name for name, _ in pending]


def _migrations() -> Iterator[tuple[str, str]]:
    """Procrastinate's own schema first, then ours in the order of their numbers."""
    from procrastinate.schema import SchemaManager

    yield "0000_procrastinate", SchemaManager.get_schema()
    files = resources.files("archive").joinpath("schema").iterdir()
    for file in sorted(files, key=lambda file: file.name):
        if file.name.endswith(".sql"):
            yield file.name.removesuffix(".sql"), file.read_text("utf-8")
