#!/usr/bin/env bash
# Some tests run real proxies and PostgreSQL: install them where that is allowed, else say what is missing.
set -euo pipefail
missing=()
for name in nginx haproxy caddy; do
    PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null 2>&1 || missing+=("$name")
done
# Its programs are in no folder of the PATH.
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || command -v initdb >/dev/null 2>&1 || missing+=(postgresql)
if [ ${#missing[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing ${missing[*]} for the tests ..."
    # Programs only: no package may start a service of its own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
echo "outworker: the tests need ${missing[*]}: install your system's packages of these names" >&2
exit 2
