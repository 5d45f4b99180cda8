#!/usr/bin/env bash
# The browser tests run in the system's Chromium: install it where that is allowed, else say what is missing.
set -euo pipefail
if command -v chromium >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing chromium for the browser tests ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null && exit 0
fi
echo "outworker: the tests need chromium on the PATH: install your system's package of that name" >&2
exit 2
