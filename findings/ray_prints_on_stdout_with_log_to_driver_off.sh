#!/usr/bin/env bash
# Ray 2.60.0: ray.init(log_to_driver=False, logging_level=ERROR) and a program whose stdout is JSON
#
# log_to_driver=False is documented as keeping the workers' output from the driver. When a worker process ends during a
# task, Ray's own account of it, "(raylet) A worker died or was killed ...", is printed all the same, and on the driver's
# stdout, from a thread, a moment later. Seen: one JSON line and several of Ray's. A program that promises JSON must
# replace ray._private.worker.print_to_stdstream, or send its result through another descriptor.
# Besides: ray.init replaces the handler of SIGTERM in the driver, also one that the program has set.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
cat > "$work/driver.py" <<'PY'
import json, logging, os, signal, sys, time

import ray


def ours(*_):
    sys.exit(7)


class Worker:
    def end(self):
        os._exit(1)


signal.signal(signal.SIGTERM, ours)
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
kept = signal.getsignal(signal.SIGTERM) is ours
worker = ray.remote(Worker).options(max_restarts=0).remote()
try:
    ray.get(worker.end.remote())
except ray.exceptions.RayActorError:
    pass
time.sleep(2)
print(json.dumps({"result": 1, "handler of SIGTERM kept": kept}))
ray.shutdown()
PY
RAY_USAGE_STATS_ENABLED=0 "$work/venv/bin/python" "$work/driver.py" > "$work/stdout" 2> /dev/null
echo "lines on stdout, cut to 100 columns:"
cut -c 1-100 "$work/stdout"
grep -q "(raylet)" "$work/stdout" && echo "stdout holds more than the JSON"
