#!/usr/bin/env bash
# Ray 2.60.0: ray.init() of a program, then `ray start --head` by hand, then ray.init(address=...)
#
# A cluster that ray.init() starts makes ~/.ray/auth_token. From then on `ray start --head` of the same user asks for this
# token, without being told. ray.init(address=...) of the same user, on the same machine, with the same file, does not send
# it: it retries for half a minute and fails, as `ray start --address` does. Only with RAY_AUTH_MODE=token do they join.
# Seen: exit codes 1 without and 0 with the variable. So a cluster script that worked stops working after any Ray program
# has run in that home folder. Set RAY_AUTH_MODE on all nodes, to token or to disabled.
set -euo pipefail
work=$(mktemp -d)
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
export PATH="$work/venv/bin:$PATH" HOME="$work" RAY_USAGE_STATS_ENABLED=0
unset RAY_ADDRESS RAY_AUTH_MODE RAY_AUTH_TOKEN
python -c 'import ray; ray.init("local", num_cpus=1, include_dashboard=False)' 2> /dev/null
ls "$HOME/.ray"
ray start --head --port 6597 --num-cpus 1 --include-dashboard=false --block > "$work/head" 2>&1 &
head=$!
trap 'kill $head; wait $head 2> /dev/null; rm -rf "$work"' EXIT
sleep 20
cat > "$work/join.py" <<'PY'
import sys, ray

ray.init(address="127.0.0.1:6597", log_to_driver=False)
print("joined,", len(ray.nodes()), "node")
PY
for mode in "" token; do
    code=0
    if [ -n "$mode" ]; then export RAY_AUTH_MODE=$mode; fi
    timeout 100 python "$work/join.py" 2> "$work/error" || code=$?
    echo "RAY_AUTH_MODE=${mode:-not set}: exit code $code, $(grep -c InvalidAuthToken "$work/error" || true) refusals"
done
