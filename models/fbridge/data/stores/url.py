"""URLs of object stores and web servers: which are possible, and what may not stand in them.

Importing this imports neither fsspec nor torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fbridge.checks import did_you_mean, is_url
from fbridge.errors import ConfigError
from fbridge.files.hub import offline_variable

EXTRAS = {
    "s3": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "hf": "",
    "http": "http",
    "https": "http",
}
"""Protocols, and the extra of fbridge that has their package; "" needs none."""
SHOWN = ("s3", "gs", "az", "hf", "https")
"""Protocols as messages list them."""
READ_ONLY = ("http", "https", "hf")
"""Protocols that nothing is written to; each file would be a commit of its own on the hub."""
_ENDS = re.compile(r"[?#]")
_SIGNED = re.compile(r"\?.*(sig|token|key|credential)[^=/]*=", re.IGNORECASE)
"""A signature in the URL of an object, such as ?sv=...&sig=... of Azure."""


@dataclass(frozen=True)
class StoreUrl:
    """The URL of a folder or file, without credentials and without a slash at its end."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def protocol(self) -> str:
        """What stands before "://"."""
        return self.text.partition("://")[0]

    @property
    def root(self) -> StoreUrl:
        """Its bucket, container or host."""
        return StoreUrl(f"{self.protocol}://{self.text.split('/')[2]}")

    @property
    def name(self) -> str:
        """What follows the last slash: of a file its name, of a bucket the bucket's."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self) -> StoreUrl:
        """The folder of it; a bucket is its own."""
        above = self.text.rpartition("/")[0]
        return self if above.endswith("/") else StoreUrl(above)

    def __truediv__(self, name: str) -> StoreUrl:
        """The URL of a file in this folder."""
        return StoreUrl(f"{self.text}/{name}")


def parse_url(text: str, where: str) -> StoreUrl | None:
    """The URL that a text is; None if it is a path.

    Args:
        text: as the user wrote it.
        where: the argument, to begin an error with: "SOURCE", "-o".

    Raises:
        ConfigError: its protocol is none of `EXTRAS`, it chains several, or holds credentials.
    """
    if not is_url(text):
        return None
    url, fault = plain_url(text)
    if fault:
        raise ConfigError(f"{where} {url.partition('://')[0]}://...: {fault}")
    return StoreUrl(url)


def plain_url(text: str) -> tuple[str, str]:
    """A URL without slashes at its end, and why it cannot be read; "" if it can.

    The reason is without what may be secret in it; the URL is not.
    """
    protocol, _, rest = text.strip().partition("://")
    protocol, host, rest = protocol.lower(), rest.partition("/")[0], rest.rstrip("/")
    return f"{protocol}://{rest}", _fault(text, protocol, host, rest)


def _fault(text: str, protocol: str, host: str, rest: str) -> str:
    if protocol not in EXTRAS or "::" in text:
        near = did_you_mean(protocol, SHOWN)
        known = ", ".join(f"{name}://" for name in SHOWN)
        return f"is no URL that can be read{near}; use one of {known}"
    if "@" in host and protocol not in ("abfs", "abfss"):
        return (
            "holds credentials, which would be written into records; give them as the store's own "
            "tools take them, by environment or profile"
        )
    if _ENDS.search(rest) if protocol in ("http", "https") else _SIGNED.search(rest):
        return (
            "has a part behind ? or #, such as a signature, which would be written into records; "
            "name a URL without it"
        )
    if protocol == "hf" and offline_variable():
        return (
            f"the hub may not be asked while {offline_variable()} is set; unset it, or name a "
            "local folder"
        )
    if not rest or ".." in rest.split("/") or not rest.isprintable():
        return "names no folder or file; write it like s3://bucket/videos"
    return ""


def parse_target(text: str, where: str) -> StoreUrl | None:
    """As `parse_url`, of what is written.

    Raises:
        ConfigError: as `parse_url`, or the protocol is read-only.
    """
    url = parse_url(text, where)
    if url is not None and url.protocol in READ_ONLY:
        raise ConfigError(
            f"{where} {url}: {url.protocol}:// is only read; write to s3://, gs:// or az://, or to "
            "a folder"
        )
    return url
