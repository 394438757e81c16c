"""How settings are said: values of `senogate.toml`, and of environment variables `SENOGATE_…`.

Types are those of the keys' defaults, by the keys; paths of destinations are below the home.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archive.destinations import check_acknowledgement, from_environment, read_destinations, to_environment
from archive.errors import ConfigurationError

_NAMES = {str: "str", int: "int", bool: "bool", tuple: "list of str"}


def variable(name: str) -> str:
    """The environment variable of a key."""
    return f"SENOGATE_{name.upper()}"


def of_file(path: Path, types: Mapping[str, type], home: Path) -> dict[str, Any]:
    """The values of a file in TOML, by their keys; none where there is no file. Raises ConfigurationError."""
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    for name, value in table.items():
        if name not in types:
            raise ConfigurationError(f"{path} has the unknown key {name!r}; docs/settings.md lists the keys")
        if name == "destinations":
            table[name] = read_destinations(value, home)
        elif types[name] is tuple and _is_list(value):
            table[name] = tuple(value)
        elif type(value) is not types[name]:
            raise ConfigurationError(f"{path}: {name} must be of type {_NAMES[types[name]]}")
    if "acknowledge" in table:
        check_acknowledgement(table["acknowledge"])
    return table


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def of_environment(environment: Mapping[str, str], types: Mapping[str, type], home: Path) -> dict[str, Any]:
    """The values of those keys whose variables say something. Raises ConfigurationError."""
    told = {name: _told(environment, variable(name)) for name in types}
    return {name: _value(name, types[name], said, home) for name, said in told.items() if said}


def _told(environment: Mapping[str, str], name: str) -> str:
    """What a variable says, or the file says that the variable with `_FILE` names: so containers are told secrets."""
    path = environment.get(f"{name}_FILE")
    if environment.get(name) or not path:
        return environment.get(name, "")
    try:
        return Path(path).read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file of {name}_FILE can't be read ({type(error).__name__})") from None


def _value(name: str, kind: type, said: str, home: Path) -> Any:
    """What a key's variable says; a list is parted by spaces or commas."""
    if name == "destinations":
        return from_environment(said, home)
    if kind is tuple:
        return tuple(said.replace(",", " ").split())
    if kind is bool:
        return _truth(name, said)
    return _integer(name, said) if kind is int else said


def _truth(name: str, said: str) -> bool:
    if said not in ("true", "false"):
        raise ConfigurationError(f"{variable(name)} must be true or false")
    return said == "true"


def _integer(name: str, said: str) -> int:
    try:
        return int(said)
    except ValueError:
        raise ConfigurationError(f"{variable(name)} must be a whole number") from None


def to_text(name: str, value: Any) -> str:
    """How the key's variable says a value."""
    if name == "destinations":
        return to_environment(value)
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else str(value)
