#!/usr/bin/env bash
# torch 2.13.0: torchrun --nnodes=1:2, c10d rendezvous, a launcher that was lost and comes back
#
# "--nnodes=1:2" is to let a run live on with one machine and take the second in again. The first works. When the second
# launcher comes back, both end: since the rendezvous store is shared with the workers (the default), the keys of the new
# round are waited for where nobody writes them, and after 60 s each launcher stops with "DistStoreError: wait timeout after
# 60000ms", on torchelastic/role_info in the one and MASTER_ADDR in the other, though restarts are left. With
# TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in every launcher's environment the same two go on together. Seen with gloo on one machine,
# the launcher and its worker ended by SIGKILL. Takes about three minutes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy
cat > "$work/worker.py" <<'PY'
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

dist.init_process_group("gloo", timeout=timedelta(seconds=15))
with open(sys.argv[1], "a") as log:
    print(dist.get_world_size(), file=log, flush=True)
while True:
    dist.all_reduce(torch.ones(1))
    time.sleep(0.2)
PY

launch() { # VARIABLE PORT LOG OUT
  setsid env OMP_NUM_THREADS=1 "$1" "$work/venv/bin/torchrun" --nnodes=1:2 --nproc-per-node=1 --max-restarts=5 --rdzv-id=a \
    --rdzv-backend=c10d --rdzv-endpoint="127.0.0.1:$2" "$work/worker.py" "$3" > "$4" 2>&1 &
  last=$!
  started+=("$last")
}
# A launcher and its worker, which has a session of its own.
end() { pkill -KILL -P "$1" || true; kill -KILL "$1" 2> /dev/null || true; }
end_all() { for one in "${started[@]}"; do end "$one"; done; }
pairs() { cat "$1" 2> /dev/null | grep -c '^2' || true; } # workers that ever were two

outcome() { # VARIABLE PORT -> "together" or "ended"; in a process of its own
  started=()
  trap end_all EXIT
  local log="$work/log-$2" out="$work/out-$2" first second third n
  launch "$1" "$2" "$log" "$out-a"; first=$last
  sleep 4
  launch "$1" "$2" "$log" "$out-b"; second=$last
  for n in $(seq 90); do [ "$(pairs "$log")" -ge 2 ] && break; sleep 1; done
  [ "$(pairs "$log")" -eq 2 ] || { echo "the two never met"; return; }
  sleep 3
  end "$second"
  sleep 45 # the first notices, and waits for others
  launch "$1" "$2" "$log" "$out-c"; third=$last
  for n in $(seq 120); do
    [ "$(pairs "$log")" -ge 4 ] && { echo together; return; }
    kill -0 "$first" 2> /dev/null || kill -0 "$third" 2> /dev/null || break
    sleep 1
  done
  grep -q "wait timeout after 60000ms" "$out-a" "$out-c" && echo "ended" || echo "something else"
}

port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
outcome PLAIN=1 "$(port)" > "$work/usual" & a=$!
outcome TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 "$(port)" > "$work/apart" & b=$!
wait "$a" "$b"
echo "by default: $(cat "$work/usual"); with a store of their own: $(cat "$work/apart")"
[ "$(cat "$work/usual")" = ended ]
[ "$(cat "$work/apart")" = together ]
echo "as described"
