#!/usr/bin/env bash
# Install the services that tests run against and this machine lacks: PostgreSQL, Prometheus, Chromium, strace.
# Quiet, quick when all are there. Where nothing can be installed it says so and succeeds: the tests that need a
# missing service are then skipped with their reason.
set -euo pipefail

present() { # is one of these programs there?
    local candidate
    for candidate in "$@"; do
        if command -v "$candidate" >/dev/null 2>&1 || [ -x "$candidate" ]; then return 0; fi
    done
    return 1
}

missing=()
present postgres /usr/lib/postgresql/*/bin/postgres || missing+=(postgresql)
present prometheus || missing+=(prometheus)
present chromium chromium-browser google-chrome || missing+=(chromium)
present strace || missing+=(strace)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed: ${missing[*]} (needs root and apt-get); the tests that use them will be skipped" >&2
    exit 0
fi
echo "installing for the tests: ${missing[*]} ..." >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# A run level of 1 keeps packages from starting their daemons: every test starts its own, on loopback, in its own folder.
if ! { apt-get update --quiet && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes \
    --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 5 "$log" >&2
    echo "not installed: ${missing[*]}; the tests that use them will be skipped" >&2
fi
