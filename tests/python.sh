#!/usr/bin/env bash
# The tests run clients for Python that can't live beside vLLM: install them into .venv-clients, with the Python of
# .venv. Run again it installs nothing: a stamp holds the checksum of what was asked for. Versions: `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."

list=requirements/clients.txt
venv=.venv-clients

exactly=(--no-deps --require-hashes --only-binary :all:)

checksum() { cat "$list" tests/python.sh | cksum; }

stamp=$venv/.installed
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(checksum)" ]; then exit 0; fi
echo "installing more clients for Python into $venv (half a minute, 160 MB) ..."
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
if ! said=$("$venv/bin/python" -m pip --disable-pip-version-check --quiet install "${exactly[@]}" -r "$list" 2>&1); then
    reason=$(sed -n 's/^ERROR: //p' <<<"$said" | head -n 1)
    echo "outworker: pip could not install what $list names (${reason:-no reason given}):" \
        "it needs 200 MB of disk and a package index that this machine reaches" >&2
    exit 2
fi
checksum >"$stamp"
