#!/usr/bin/env bash
# Builds .venv from requirements.lock, or what KOMPAKT_LOCK names, with Python 3.10 and puts `kompakt` into it; does
# nothing where both are there.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=${KOMPAKT_LOCK:-requirements.lock}
[ -f "$lock" ] || { echo "KOMPAKT_LOCK=$lock: no such file in $PWD" >&2; exit 2; }
stamp=.venv/.installed.lock # a copy of the lock that was installed; written last, so an interrupted install has none
project=.venv/.installed.toml # the same of pyproject.toml

# One at a time: two that install into one folder leave a broken one. The second finds the work done.
if command -v flock >/dev/null; then
  exec 9<requirements.lock
  flock 9
fi

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

# Whether .venv holds what the lock says.
has_packages() { is_310 .venv/bin/python && cmp -s "$lock" "$stamp"; }

# Whether .venv/bin/kompakt is of this folder (which may have been moved or copied) and of this pyproject.toml.
has_kompakt() { grep -qsF "$PWD/.venv/bin/python" .venv/bin/kompakt && cmp -s pyproject.toml "$project"; }

# uv is faster, but does not read pip's configuration (mirrors, certificates): where it fails, pip goes on.
install() {
  if ! command -v uv >/dev/null || ! uv pip install -q --python .venv/bin/python --no-deps "$@"; then
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps "$@"
  fi
}

# Normalised names of packages that are installed and not in the lock.
left_over() {
  local names='s/[][@; =].*//; s/[-_.]\+/-/g; s/.*/\L&/'
  comm -23 <(.venv/bin/python -m pip list --format=freeze --disable-pip-version-check | sed "$names" | sort) \
    <(sed "$names" "$lock" | sort) | grep -vx kompakt || true
}

make_folder() {
  local python
  is_310 .venv/bin/python && return
  python=$(find_python) || {
    echo "No Python 3.10 found: install it with 'pyenv install 3.10', 'uv python install 3.10' or your system's packages." >&2
    exit 1
  }
  if ! "$python" -m venv --clear .venv >/dev/null 2>&1; then # a system Python without its venv package
    echo "$python cannot make a virtual environment: install its venv package (python3.10-venv) or pyenv's 3.10." >&2
    exit 1
  fi
}

install_packages() {
  local start=$SECONDS
  if ! command -v g++ >/dev/null && ! command -v clang++ >/dev/null; then
    echo "No C++ compiler found: pyfarmhash (of TFX) has no wheel and is compiled; install g++." >&2
    exit 1
  fi
  make_folder
  rm -f "$stamp"
  echo "Installing $(grep -c '==' "$lock") packages into .venv: about 1.5 GB, two to four minutes ..."
  install -r "$lock" # the lock is the whole resolution, so nothing is resolved again (--no-deps)
  left_over | xargs -r .venv/bin/python -m pip uninstall -qqy
  cp "$lock" "$stamp.part"
  mv "$stamp.part" "$stamp"
  echo "Environment ready after $((SECONDS - start)) s."
}

has_packages || install_packages
if ! has_kompakt; then
  install --no-build-isolation --editable . # setuptools is in the lock: nothing is fetched
  cp pyproject.toml "$project"
fi
