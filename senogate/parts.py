"""The gateway and the worker as processes."""

import asyncio

import httpx
import uvicorn
from psycopg_pool import AsyncConnectionPool

from archive import secrets
from archive.pool import connection_string
from archive.settings import Settings
from deidentification.deidentify import Deidentifier
from deidentification.profile import Profile
from deidentification.pseudonym import Keys, Pseudonyms
