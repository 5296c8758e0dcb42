#!/usr/bin/env bash
# apsw 3.54.1.0 (SQLite 3.54.1): PRAGMA journal_mode=WAL of a file in which another connection writes
#
# A connection with a timeout waits where another one has the file. Caches that several processes of one job share are
# opened with a long one, and then set to write-ahead logging. Seen: with a timeout of two seconds an insert waits two seconds
# beside a transaction that was begun to write, and fails then; the change of the journal fails at once, "database is locked",
# whatever the timeout. So of processes that open a new cache at the same moment some end although each of them would be done
# in milliseconds. Asked again until it is answered, or in a file that already has that journal, it is well. The pragma waits
# where the other transaction is exclusive.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check apsw==3.54.1.0
cat > "$work/patience.py" <<'PY'
import sys
import time

import apsw

assert apsw.sqlite_lib_version() == "3.54.1", apsw.sqlite_lib_version()
WAL, INSERT = "PRAGMA journal_mode=WAL", "INSERT INTO features VALUES (1)"


def waited(name, begin, statement, journal="delete"):
    """Seconds until a second connection is answered, and whether it is refused as busy."""
    path = f"{sys.argv[1]}/{name}.sqlite"
    first, second = apsw.Connection(path), apsw.Connection(path)
    first.execute(f"PRAGMA journal_mode={journal}")
    first.execute("CREATE TABLE features (key)")
    second.set_busy_timeout(2000)
    first.execute(begin)
    began = time.monotonic()
    try:
        second.execute(statement).fetchall()
    except apsw.BusyError:
        return time.monotonic() - began, True
    return time.monotonic() - began, False


for name, begin, statement, journal in (
    ("insert", "BEGIN IMMEDIATE", INSERT, "delete"),
    ("journal", "BEGIN IMMEDIATE", WAL, "delete"),
    ("exclusive", "BEGIN EXCLUSIVE", WAL, "delete"),
    ("has it", "BEGIN IMMEDIATE", WAL, "wal"),
):
    seconds, busy = waited(name, begin, statement, journal)
    print(f"{begin}, then {statement} (journal {journal}): {seconds:.2f} s, busy {busy}")
    assert busy == (name != "has it"), name
    assert (seconds > 1.5) == (name in ("insert", "exclusive")), (name, seconds)
print("as described")
PY
"$work/venv/bin/python" "$work/patience.py" "$work"
