"""``storm config``: every setting, where its value comes from, and whether it can work."""

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic import SecretStr, ValidationError

from storm_gateway.cli.common import FAILED, config_faults, fail, say, tell
from storm_gateway.config import Config
from storm_gateway.observability.text import escape_control, redact

app = typer.Typer(no_args_is_help=True, help="Show and check the settings.")
PREFIX = "STORM_"
OF_THE_CLIENT = frozenset({"STORM_URL", "STORM_TOKEN"})
"""Read by ``storm send`` and ``storm tail``; no settings of the server."""
MASK = "(set, not shown)"


def shown(value: object) -> str:
    """A value as it may be printed: secrets and passwords in URLs are masked."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return escape_control(redact(value)) or '""'
    return str(value)


def lines(config: Config) -> list[str]:
    """One paragraph for each setting: name, value, source, default, meaning with unit."""
    found = []
    for field, info in Config.model_fields.items():
        name = PREFIX + field.upper()
        if field not in config.model_fields_set:
            source = "default"
        else:
            source = "environment" if name in os.environ else "file in STORM_SECRETS_DIR"
        value: Any = getattr(config, field)
        default = "" if source == "default" else f", default {shown(info.default)}"
        found.append(f"{name}={shown(value)}")
        found.append(f"    {info.description} ({source}{default})")
    return found


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A warning for each variable that looks like a setting and is none."""
    known = {PREFIX + field.upper() for field in Config.model_fields} | OF_THE_CLIENT
    warnings = []
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.6)
        hint = f" Did you mean {near[0]}?" if near else ""
        warnings.append(f"warning: {escape_control(name)} is no setting and is ignored.{hint}")
    return warnings


def _read() -> Config:
    for warning in unknown_variables(os.environ):
        tell(warning)
    try:
        return Config()
    except ValidationError as error:
        fail("the settings cannot work:", faults=config_faults(error))


@app.command()
def show() -> None:
    """Print every setting with its value, unit, meaning and source. Secrets are masked."""
    for line in lines(_read()):
        say(line)


@app.command()
def check(
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse unknown STORM_ variables too.")
    ] = False,
) -> None:
    """Say whether a server could start with these settings; exit status 1 if not."""
    config = _read()
    faults = places_fault(config) + (config.cluster_faults if config.is_cluster else [])
    for fault in faults:
        tell(f"storm: {fault}")
    if faults or (strict and unknown_variables(os.environ)):
        raise typer.Exit(FAILED)
    say("the settings can work")


def places_fault(config: Config) -> list[str]:
    """What is wrong with the folder that the settings name."""
    folder = config.data_dir
    if config.database_url and config.jwt_secret.get_secret_value():
        return []
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return [f"STORM_DATA_DIR: {existing} is no folder: name another one"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"STORM_DATA_DIR: {existing} is not writable: change its owner or name another one"]
    return []
