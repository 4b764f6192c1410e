#!/usr/bin/env bash
# Run the tests that need an engine, with what engines this machine has. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../.."

exec "${PYTHON:-python3}" -m pytest -m engine tests/engines "$@"
