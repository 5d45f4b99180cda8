#!/usr/bin/env bash
# Measures which lines and branches of app/ the tests run, in every process that they start; those that need a real vLLM
# are left out. Whether a test passes is `make test`'s to say: a measured program is slower, and what a test runs before its
# patience ends counts here.
set -uo pipefail
cd "$(dirname "$0")/.."

coverage=.venv/bin/coverage
rm -f .coverage .coverage.*
$coverage run -m pytest -n logical --maxprocesses 4 --dist worksteal -m "not engine and not alone" ||
    echo "outworker: some tests failed while they were measured"
$coverage combine --quiet
$coverage report --skip-covered --sort=miss
