"""Databases with the whole schema and nothing in it: migrated once on each server, and copied from there on."""

import uuid
from functools import cache

import psycopg
from psycopg.conninfo import make_conninfo

from archive.migration import migrate


def create(server: str) -> str:
    """The address of a new database on the server at another address."""
    return _create(server, template=_migrated(server))


def drop(address: str) -> None:
    """Drop a database, whoever is connected to it."""
    name = psycopg.conninfo.conninfo_to_dict(address)["dbname"]
    with psycopg.connect(make_conninfo(address, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


@cache
def _migrated(server: str) -> str:
    """The name of a database to copy; nobody is connected to it."""
    address = _create(server, template="template1")
    migrate(address)
    return str(psycopg.conninfo.conninfo_to_dict(address)["dbname"])


def _create(server: str, template: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{template}"'.encode())
    return make_conninfo(server, dbname=name)
