#!/usr/bin/env bash
# The proxy tests run real proxies on loopback: install them where that is allowed, else say what is missing.
set -euo pipefail
wanted=(nginx haproxy caddy)
missing=()
for name in "${wanted[@]}"; do
    PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null 2>&1 || missing+=("$name")
done
if [ ${#missing[@]} = 0 ]; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing ${missing[*]} for the proxy tests ..."
    # Programs only: no package may start a service of its own on port 80.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null && exit 0
fi
echo "outworker: the tests need ${missing[*]} on the PATH: install your system's packages of these names" >&2
exit 2
