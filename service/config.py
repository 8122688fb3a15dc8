"""The settings of a server: their names, units, defaults and ranges.

One flat set of names serves three places: `listen` in a TOML file is `COPYCATCH_LISTEN` in the
environment and `listen=` in Python. What is passed in Python outranks the environment, which
outranks the file, which outranks the defaults. A name that does not exist is an error in each
of them, because a misspelt setting that is ignored is found out in production.
"""

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from service.access.settings import AccessSettings
from service.addresses import is_local
from service.matching_settings import MatchingSettings
from service.server_settings import ServerSettings
from service.store_settings import StoreSettings
from service.sweeps.settings import SweepSettings

PREFIX = "COPYCATCH_"

OTHER_VARIABLES = frozenset(
    {
        "COPYCATCH_API_KEY",
        "COPYCATCH_API_KEY_FILE",
        "COPYCATCH_CLIENT_CERTIFICATE",
        "COPYCATCH_CLIENT_KEY",
        "COPYCATCH_CONFIG",
        "COPYCATCH_OFFLINE",
        "COPYCATCH_SERVER",
        "COPYCATCH_SERVER_CA",
        "COPYCATCH_SERVER_NAME",
        "COPYCATCH_SERVER_PLAINTEXT",
        "COPYCATCH_WEIGHTS",
    }
)
"""Variables of the command line, of models/weights.py and of the tests: no settings."""

_ENVIRONMENT = "the environment"

# Kubernetes puts these into the environment of every pod beside a service named `copycatch`.
_KUBERNETES = re.compile(r"COPYCATCH_(SERVICE_HOST|SERVICE_PORT.*|PORT|PORT_\d+_(TCP|UDP).*)")


class ConfigInvalid(ValueError):
    """A setting is unknown or has a value outside of its range, or the file can not be read.

    Attributes:
        problems: one line for each, naming the setting and where it was read.
        remedy: what to do about them.
    """

    reason: ClassVar[str] = "CONFIG_INVALID"

    def __init__(self, problems: list[str], remedy: str = "see the settings in the README") -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.remedy = remedy


class Config(SweepSettings, AccessSettings, StoreSettings, MatchingSettings, ServerSettings):
    """Everything that can be set about a server. Build it with `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True
    )

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value.startswith("unix:") or not value:
            return value
        host, separator, port = value.rpartition(":")
        if not separator or not host or not port.isdigit() or int(port) > 65535:
            raise ValueError("must be host:port with a port in 0..65535")
        return value

    @field_validator("listen")
    @classmethod
    def _is_not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("must not be empty")
        return value

    @field_validator("metrics_listen")
    @classmethod
    def _is_tcp(cls, value: str) -> str:
        if value.startswith("unix:"):
            raise ValueError("must be host:port, or empty")
        return value

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.c2pa_certificate is None) != (self.c2pa_key is None):
            raise ValueError("c2pa_certificate and c2pa_key go together")
        return self

    @model_validator(mode="after")
    def _is_open_on_this_machine_alone(self) -> Self:
        if self.insecure and not is_local(self.listen):
            raise ValueError(
                f"insecure goes with a loopback address or a unix: one, not with {self.listen}"
            )
        return self

    @model_validator(mode="after")
    def _is_readable_on_this_machine_alone(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.tls_certificate is not None or self.plaintext:
            return self
        for name in ("listen", "metrics_listen"):
            address = getattr(self, name)
            if address and not is_local(address):
                raise ValueError(
                    f"{name} = {address} can be reached from other machines and has no TLS: set "
                    "tls_certificate and tls_key, or plaintext = true"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from Python and the environment; `load` brings the file."""
        return (init_settings, env_settings)


def load(path: Path | None = None, **values: Any) -> Config:
    """Read the settings of a file and of the environment.

    Args:
        path: a TOML file of settings; none when None.
        values: settings that outrank both.

    Raises:
        ConfigInvalid: the file can not be read, or a setting is unknown or out of range. It
            lists everything that is wrong, not only the first.
    """
    from_file = _read(path) if path else {}
    tables = [name for name, value in from_file.items() if isinstance(value, dict)]
    from_file = {name: value for name, value in from_file.items() if name not in tables}
    in_environment = {
        name.removeprefix(PREFIX).lower()
        for name in os.environ
        if name.startswith(PREFIX)
        and name not in OTHER_VARIABLES
        and not _KUBERNETES.fullmatch(name)
    }
    problems = []
    for origin, names in (
        (str(path), from_file),
        (_ENVIRONMENT, sorted(in_environment)),
        ("the call", values),
    ):
        problems += [_unknown(name, origin) for name in names if name not in Config.model_fields]
    problems += [_table(name, str(path)) for name in tables]
    if problems:
        raise ConfigInvalid(problems)
    outranked = {name: value for name, value in from_file.items() if name not in in_environment}
    try:
        return Config(**{**outranked, **values})
    except ValidationError as error:
        raise ConfigInvalid([_out_of_range(one) for one in error.errors()]) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        told = f"{path} can not be read: {error.strerror}"
        raise ConfigInvalid([told], "name a TOML file of settings") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid([f"{path} is no TOML: {error}"], "mend it there") from error


def _unknown(name: str, origin: str) -> str:
    nearest = difflib.get_close_matches(name, Config.model_fields, n=1, cutoff=0.0)[0]
    shown = PREFIX + name.upper() if origin == _ENVIRONMENT else name
    near = PREFIX + nearest.upper() if origin == _ENVIRONMENT else nearest
    return f"{shown} in {origin} is not a setting; the nearest is {near}"


def _table(name: str, origin: str) -> str:
    return f"[{name}] in {origin} is a table; settings stand at the top, without tables"


_RULES = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "extra_forbidden": "is not a setting",
    "finite_number": "must be a number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "path_type": "must be a path, in quotes",
    "string_type": "must be text, in quotes",
    "tuple_type": "must be a list, in brackets",
    "value_error": "{error}",
}
"""What breaks a rule, by pydantic's name of it; of others its own words are told."""


def _out_of_range(error: Any) -> str:
    rule = _RULES.get(error["type"], "")
    words = rule.format(**error.get("ctx", {})) if rule else str(error["msg"])
    name = ".".join(str(part) for part in error["loc"])
    if not name:  # about several settings at once, which its message names
        return words
    return f"{name}: {words} (got {error['input']!r})"
