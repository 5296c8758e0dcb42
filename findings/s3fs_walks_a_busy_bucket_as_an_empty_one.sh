#!/usr/bin/env bash
# s3fs 2026.9.0, fsspec 2026.9.0: walk() and isfile() while the server answers 503 (Slow Down) or 403
#
# S3 answers 503 to a client that asks too often. ls, find, glob and exists then raise, once the retries are spent. walk does
# not: its on_error is "omit", so a folder that could not be listed is yielded as one without files, the same as an empty
# folder and as a bucket that does not exist; isfile is False for a file that is there. Whoever copies or counts with walk
# takes a busy store for an empty one, and a right that is missing likewise. on_error="raise" raises.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check s3fs==2026.9.0 fsspec==2026.9.0 aiobotocore==3.10.0
"$work/venv/bin/python" - <<'PY'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import s3fs

state = {"status": 200}
LISTING = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>films</Name>
<Prefix>set/</Prefix><Delimiter>/</Delimiter><KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>
<Contents><Key>set/a.mp4</Key><Size>3</Size><ETag>"x"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>
</ListBucketResult>"""


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        code = {503: "SlowDown", 403: "AccessDenied"}.get(state["status"])
        body = f"<Error><Code>{code}</Code></Error>".encode() if code else LISTING
        self.send_response(state["status"])
        self.send_header("Content-Length", "3" if self.command == "HEAD" and not code else str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()


def fresh():
    fs = s3fs.S3FileSystem(
        key="k", secret="s", endpoint_url=f"http://127.0.0.1:{server.server_address[1]}", skip_instance_cache=True,
        use_listings_cache=False, client_kwargs={"region_name": "us-east-1"},
        config_kwargs={"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}},
    )
    fs.retries = 1  # the outcome is the same with more, later
    return fs


def outcome(call):
    try:
        return call()
    except OSError as error:
        return type(error).__name__


for status in (200, 503, 403):
    state["status"] = status
    found = {
        "walk": outcome(lambda: list(fresh().walk("films/set"))),
        "isfile": outcome(lambda: fresh().isfile("films/set/a.mp4")),
        "find": outcome(lambda: fresh().find("films/set")),
        "ls": outcome(lambda: fresh().ls("films/set")),
        "exists": outcome(lambda: fresh().exists("films/set/a.mp4")),
        "walk, on_error raise": outcome(lambda: list(fresh().walk("films/set", on_error="raise"))),
    }
    print(status, found)
    whole = [("films/set", [], ["a.mp4"])]
    raised = "PermissionError" if status == 403 else "OSError"
    assert found["walk"] == (whole if status == 200 else [("films/set", [], [])]), found
    assert found["isfile"] == (status == 200), found
    for name in ("find", "ls", "exists", "walk, on_error raise"):
        assert (found[name] == raised) == (status != 200), (name, found)
print("as described")
PY
