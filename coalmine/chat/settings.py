"""The settings file of the chat app: who people are, which groups, which channel shows what, who may do what. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from coalmine.errors import InputError
from coalmine.records import Verb
from coalmine.spec.faults import did_you_mean, field_name, printable, shown

READ = "read"
"""What ``may`` calls status, list and the like."""
LARGEST_TEXT = 256 * 1024
ANYONE = "anyone"
"""In ``may``: whoever is somebody."""
_USER = re.compile(r"[UW][A-Z0-9]{2,20}")
_EMAIL = re.compile(r"[^@\s<>|]+@[^@\s<>|]+")
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_CHANNEL = Annotated[str, Field(pattern=r"^[CG][A-Z0-9]{2,20}$")]
_GROUP = Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,20}$")]
_NAME = Annotated[str, Field(min_length=1, max_length=200)]
_MENDS = {
    "channel": "write the channel's id, such as C0123ABCD (in the channel's details, at the bottom), not its name",
    "groups": "write the id of a Slack user group, such as S0614TZR7",
}


class Settings(BaseModel):
    """Base: what is not known is an error."""

    model_config = ConfigDict(extra="forbid")


class Channel(Settings):
    """Where rollouts are shown; the first that fits one is taken. What is absent fits all."""

    channel: _CHANNEL
    environment: str | None = None
    service: str | None = None
    region: str | None = None

    def fits(self, environment: str, service: str, region: str | None) -> bool:
        """Whether a rollout belongs here."""
        pairs = ((self.environment, environment), (self.service, service), (self.region, region))
        return all(wanted is None or wanted == given for wanted, given in pairs)


class Digest(Settings):
    """The digest of the day."""

    at: time
    zone: str = "UTC"
    channel: _CHANNEL

    @field_validator("at", mode="before")
    @classmethod
    def _clock(cls, value: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
            return time.fromisoformat(value)
        raise ValueError('must be a time of day in quotes, such as "09:00"')

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, LookupError):
            raise ValueError("must be a time zone, such as Europe/Vienna or UTC") from None
        return value


class ChatSettings(Settings):
    """All of the file."""

    people: dict[str, _NAME] = {}
    """Slack user id or e-mail -> the name that specs' ``people`` use."""
    email_domains: list[str] = []
    """Whoever has a confirmed address of one of these is known by it."""
    groups: dict[_NAME, _GROUP] = {}
    """Groups of specs -> Slack user groups: mentioned, and believed in a signed decision."""
    channels: list[Channel] = Field(min_length=1)
    may: dict[str, list[_NAME]] = {}
    """Verb (or ``read``) -> groups and people who may; absent: whoever is somebody."""
    digest: Digest | None = None

    @field_validator("people")
    @classmethod
    def _ids(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if not _USER.fullmatch(key) and not _EMAIL.fullmatch(key):
                raise ValueError(f"{shown(key)} is neither a Slack user id, such as U024BE7LH, nor an e-mail address")
        lowered = [key.casefold() for key in value]
        twice = next((key for key in lowered if lowered.count(key) > 1), None)
        if twice is not None:
            raise ValueError(f"{shown(twice)} is there twice, in capitals and in small letters: leave one out")
        return value

    @field_validator("email_domains")
    @classmethod
    def _domains(cls, value: list[str]) -> list[str]:
        for domain in value:
            if not _DOMAIN.fullmatch(domain):
                raise ValueError(f"{shown(domain)} is no domain, such as example.org")
        return [domain.casefold() for domain in value]

    @field_validator("may")
    @classmethod
    def _verbs(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        known = [READ, *(str(verb) for verb in Verb)]
        for verb in value:
            if verb not in known:
                raise ValueError(f"{shown(verb)} is no verb{did_you_mean(verb, known)}")
        return value

    @model_validator(mode="after")
    def _somebody(self) -> ChatSettings:
        if not self.people and not self.email_domains:
            raise ValueError("people and email_domains are both empty: nobody could say anything; write one of them")
        return self

    def channel_of(self, environment: str, service: str, region: str | None) -> str | None:
        """The channel of a rollout; None: it is shown nowhere."""
        found = (one for one in self.channels if one.fits(environment, service, region))
        return next((one.channel for one in found), None)


def read_settings(text: str, origin: str) -> ChatSettings:
    """The settings of a YAML text.

    Args:
        text: of the file.
        origin: what messages call it.

    Raises:
        InputError: it cannot be used; names the field, the value and the mend.
    """
    if len(text) > LARGEST_TEXT:
        raise InputError(f"{origin}: the text has {len(text):,} characters: the most is {LARGEST_TEXT:,}")
    try:
        data = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError, ValueError, LookupError, AttributeError, AssertionError, OverflowError) as error:
        raise InputError(f"{origin}: not YAML: {printable(str(error))[:200]}") from None
    if not isinstance(data, Mapping):
        raise InputError(f"{origin}: it is {shown(data)}: write people: and channels:, as docs/chat.md shows")
    try:
        return ChatSettings.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{origin}: {_sentence(first)}") from None


def _sentence(error: Any) -> str:
    path = tuple(part for part in error["loc"] if part != "[key]")
    name = field_name(path)
    if error["type"] == "extra_forbidden":
        known = _known(path)
        return f"{name}: is not known here{did_you_mean(path[-1], known)}"
    if error["type"] == "missing":
        return f"{name}: is missing"
    if error["type"] == "value_error":
        message = str(error["msg"]).removeprefix("Value error, ")
        value = f"{shown(error['input'])}: " if message.startswith("must") else ""
        return ": ".join(part for part in (name, value + message) if part)
    mend = next((text for key, text in _MENDS.items() if key in path), str(error["msg"]))
    return f"{name}: {shown(error['input'])}: {mend}"


def _known(path: tuple[str | int, ...]) -> list[str]:
    inner: dict[str, type[Settings]] = {"channels": Channel, "digest": Digest}
    return sorted((inner.get(str(path[0]), ChatSettings) if len(path) > 1 else ChatSettings).model_fields)
