#!/usr/bin/env bash
# Builds .venv from requirements.lock with Python 3.10; does nothing when it already holds that lock.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements.lock
stamp=.venv/.installed.lock # a copy of the lock that was installed; written last, so an interrupted install has none

is_310() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null </dev/null; }

# Prints the path of a Python 3.10. Each candidate is run: pyenv's shims exist even where the version is not selected.
find_python() {
  local candidate
  for candidate in python3.10 python3 python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python; do
    if is_310 "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  command -v uv >/dev/null || return 1
  uv python find --system 3.10 2>/dev/null || { uv python install -q 3.10 >&2 && uv python find --system 3.10; }
}

if is_310 .venv/bin/python; then
  cmp -s "$lock" "$stamp" && exit 0
else
  python=$(find_python) || {
    echo "No Python 3.10 found: install it with 'pyenv install 3.10', 'uv python install 3.10' or your system's packages." >&2
    exit 1
  }
  if ! "$python" -m venv --clear .venv >/dev/null 2>&1; then # a system Python without its venv package
    echo "$python cannot make a virtual environment: install its venv package (python3.10-venv) or pyenv's 3.10." >&2
    exit 1
  fi
fi
if ! command -v g++ >/dev/null && ! command -v clang++ >/dev/null; then
  echo "No C++ compiler found: pyfarmhash (of TFX) has no wheel and is compiled; install g++." >&2
  exit 1
fi
rm -f "$stamp"

echo "Installing $(grep -c '==' "$lock") packages into .venv: about 1.5 GB, two to four minutes ..."
start=$SECONDS
# The lock is the whole resolution, so nothing is resolved again (--no-deps). uv is faster, but does not read pip's
# configuration (mirrors, certificates): where it fails, pip goes on.
if ! command -v uv >/dev/null || ! uv pip install -q --python .venv/bin/python --no-deps -r "$lock"; then
  .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps -r "$lock"
fi
cp "$lock" "$stamp.part"
mv "$stamp.part" "$stamp"
echo "Environment ready after $((SECONDS - start)) s."
