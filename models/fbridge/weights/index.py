"""Where pip would find a file: the package indexes of pip's own configuration.

pip cannot download a source archive without running its build script. So pip is only asked for its
settings; the index's pages (PEP 503) and the archive are read here, and nothing in them is run.
"""

from __future__ import annotations

import json
import netrc
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

PATIENCE = 30.0
"""Seconds to wait for an answer, and for each of its bytes."""
_PIP_PATIENCE = 120.0
_LARGEST_PAGE = 32 << 20
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_ASK_PIP = """
import json
from pip._internal.commands import create_command
options, _ = create_command("download").parse_args([])
names = ["index_url", "extra_index_urls", "no_index", "find_links", "cert", "client_cert",
         "proxy", "trusted_hosts"]
print(json.dumps({name: getattr(options, name) for name in names}))
"""


@dataclass(frozen=True)
class PipSettings:
    """What pip's configuration files and environment variables say about downloads.

    Attributes:
        indexes: their addresses; a project's page is below.
        links: addresses of pages and folders with files of any project.
        cert: file of accepted certificate authorities; empty for the system's.
        client_cert: file of the client's own certificate; empty for none.
        proxy: of all addresses; empty for those of the environment.
        trusted: hosts whose certificate is not verified, as `host` or `host:port`.
    """

    indexes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    cert: str = ""
    client_cert: str = ""
    proxy: str = ""
    trusted: tuple[str, ...] = ()

    def allows(self, url: str) -> bool:
        """Whether pip would read the address: https, a file, or http of a trusted or own host."""
        parts = urlsplit(url)
        if parts.scheme == "http":
            return parts.hostname in _LOCAL_HOSTS or self._trusts(url)
        return parts.scheme in ("https", "file")

    def open(self, url: str, headers: dict[str, str] | None = None) -> Any:
        """The answer of an address, as urllib gives it.

        User and password come from the address or from ~/.netrc; they are not sent on to the host
        of a redirection.

        Raises:
            OSError: among them urllib's errors.
        """
        try:
            context = ssl.create_default_context(cafile=self.cert or None)
            if self.client_cert:
                context.load_cert_chain(self.client_cert)
        except OSError as error:
            raise urllib.error.URLError(f"pip's cert or client-cert: {error}") from error
        if self._trusts(url):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if self.proxy:
            proxies = {"http": self.proxy, "https": self.proxy}
            handlers.append(urllib.request.ProxyHandler(proxies))
        bare, authorization = _without_user(url)
        request = urllib.request.Request(bare, headers={"User-Agent": "fbridge", **(headers or {})})
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        return urllib.request.build_opener(*handlers).open(request, timeout=PATIENCE)

    def addresses(self, project: str, file: str) -> Iterator[str]:
        """Addresses of a file of a project, in the order of the indexes.

        Raises:
            OSError: no index has it, and the last one that was asked cannot be read.
        """
        failed: OSError | None = None
        found = False
        places = [f"{index.rstrip('/')}/{project}/" for index in self.indexes] + list(self.links)
        for place in places:
            try:
                for url in self._links_of(place, file):
                    if self.allows(url):
                        found = True
                        yield url
            except OSError as error:
                if not (isinstance(error, urllib.error.HTTPError) and error.code == 404):
                    failed = error
        if failed is not None and not found:
            raise failed

    def _links_of(self, place: str, file: str) -> Iterator[str]:
        parts = urlsplit(place)
        if parts.scheme in ("", "file") or len(parts.scheme) == 1:  # "c:" is a drive
            path = Path(
                urllib.request.url2pathname(parts.path) if parts.scheme == "file" else place
            )
            if (path / file).is_file():
                yield (path / file).absolute().as_uri()
            page = path / "index.html" if path.is_dir() else path
            if not page.is_file():
                return
            place = page.absolute().as_uri()
        if not self.allows(place):
            return
        with self.open(place, {"Accept": "application/vnd.pypi.simple.v1+html, text/html"}) as page:
            text = page.read(_LARGEST_PAGE).decode("utf-8", errors="replace")
            base = page.url if page.url else place
        for link in _hrefs(text):
            if unquote(urlsplit(link).path).rpartition("/")[2] == file:
                yield _with_user_of(place, urljoin(base, link.partition("#")[0]))

    def _trusts(self, url: str) -> bool:
        parts = urlsplit(url)
        return bool({parts.hostname, f"{parts.hostname}:{parts.port}"} & set(self.trusted))


@cache
def pip_settings() -> PipSettings:
    """The settings of this Python's pip; without indexes where there is no pip to ask."""
    with suppress(OSError, subprocess.SubprocessError, ValueError, KeyError):
        asked = subprocess.run(
            [sys.executable, "-I", "-c", _ASK_PIP],
            capture_output=True, timeout=_PIP_PATIENCE, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        told = json.loads(asked.stdout)
        indexes = [] if told["no_index"] else [told["index_url"], *told["extra_index_urls"]]
        return PipSettings(
            indexes=tuple(filter(None, indexes)),
            links=tuple(told["find_links"]),
            cert=told["cert"] or "",
            client_cert=told["client_cert"] or "",
            proxy=told["proxy"] or "",
            trusted=tuple(told["trusted_hosts"]),
        )
    return PipSettings()


class _Hrefs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if (tag, name) == ("a", "href") and value]


def _hrefs(page: str) -> Iterable[str]:
    parser = _Hrefs()
    parser.feed(page)
    return parser.found


def _without_user(url: str) -> tuple[str, str]:
    """An address without user and password, and the header that carries them."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and parts.hostname:
        with suppress(OSError, netrc.NetrcParseError):
            known = netrc.netrc(os.environ.get("NETRC")).authenticators(parts.hostname)
            user, password = (known[0], known[2] or "") if known else ("", "")
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    token = b64encode(f"{user}:{password}".encode()).decode() if user else ""
    return bare, f"Basic {token}" if token else ""


def _with_user_of(place: str, url: str) -> str:
    """An address on the same host as `place`, with the user and password of `place`."""
    theirs, own = urlsplit(place), urlsplit(url)
    if theirs.username and not own.username and own.netloc == theirs.netloc.rpartition("@")[2]:
        return urlunsplit(own._replace(netloc=theirs.netloc))
    return url
