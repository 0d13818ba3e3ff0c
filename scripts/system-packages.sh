#!/usr/bin/env bash
# Finds a platform on which MuJoCo renders without a screen, and installs its libraries where that is allowed.
#
#   scripts/system-packages.sh PYTHON      an interpreter that has dexloop installed
#
# Prints the platform (a value for MUJOCO_GL) on stdout and everything else on stderr.
set -euo pipefail
python=${1:?usage: scripts/system-packages.sh PYTHON}

say() { echo "$@" >&2; }

# The packages of a platform (egl, osmesa) on a distribution (debian, fedora), as dexloop itself names them.
packages() {
  "$python" -c '
import sys
from dexloop.sim import opengl
print(getattr(getattr(opengl, sys.argv[1].upper()), sys.argv[2]))' "$1" "$2"
}

renders() {
  "$python" -c '
import sys
from dexloop.doctor import check_rendering
sys.exit(not check_rendering(sys.argv[1]).ok)' "$1"
}

# Why nothing is rendered with what MUJOCO_GL says, and what to do about it.
explanation() {
  "$python" -c '
from dexloop.doctor import check_rendering
finding = check_rendering()
print(f"{finding.detail}; {finding.remedy}")'
}

use_first_of() {
  for platform in "$@"; do
    if renders "$platform"; then
      say "MuJoCo renders with $platform."
      echo "$platform"
      exit 0
    fi
  done
}

# Sets `administrator` to what has to precede a command that installs packages; fails where nothing may.
may_install() {
  command -v apt-get >/dev/null || return 1
  administrator=()
  [ "$(id -u)" = 0 ] && return 0
  administrator=(sudo -n)
  command -v sudo >/dev/null && sudo -n true 2>/dev/null
}

install() {
  say "Installing $*"
  "${administrator[@]+"${administrator[@]}"}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >&2
}

if [ -n "${MUJOCO_GL:-}" ]; then
  use_first_of "$MUJOCO_GL"
  say "error: $(explanation)"
  exit 1
fi
if [ "$(uname -s)" != Linux ]; then
  use_first_of cgl glfw
  say "error: $(explanation)"
  exit 1
fi

use_first_of egl osmesa
if may_install; then
  "${administrator[@]+"${administrator[@]}"}" apt-get update -qq >&2 || say "apt-get update failed, going on."
  for platform in egl osmesa; do
    # shellcheck disable=SC2046  # a list of packages
    install $(packages "$platform" debian) && use_first_of "$platform"
  done
  say "error: MuJoCo still does not render:"
else
  say "error: MuJoCo cannot render on this machine yet, and only an administrator may install what it needs."
fi
say "  Debian, Ubuntu: sudo apt-get install $(packages egl debian)"
say "  Fedora:         sudo dnf install $(packages egl fedora)"
say "Then run the same command again."
exit 1
