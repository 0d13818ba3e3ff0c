#!/usr/bin/env bash
# Finds a platform on which MuJoCo renders without a screen, and installs its libraries where that is allowed.
#
#   scripts/system-packages.sh PYTHON      an interpreter that has dexloop installed
#
# Prints the platform (a value for MUJOCO_GL) on stdout and everything else on stderr.
set -euo pipefail
python=${1:?usage: scripts/system-packages.sh PYTHON}

# The smallest sets with which a bare Debian 12 renders; the second is slower and gone from newer releases.
egl_packages="libegl1 libopengl0 libgl1-mesa-dri"
osmesa_packages="libosmesa6"

say() { echo "$@" >&2; }

renders() {
  "$python" -c '
import sys
from dexloop.doctor import check_rendering
sys.exit(not check_rendering(sys.argv[1]).ok)' "$1"
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
  say "error: MuJoCo does not render with MUJOCO_GL=$MUJOCO_GL; unset it or install what it needs."
  exit 1
fi
if [ "$(uname -s)" != Linux ]; then
  use_first_of cgl glfw
  say "error: MuJoCo does not render on this machine; run from a desktop session."
  exit 1
fi

use_first_of egl osmesa
if may_install; then
  "${administrator[@]+"${administrator[@]}"}" apt-get update -qq >&2 || say "apt-get update failed, going on."
  # shellcheck disable=SC2086  # a list of packages
  install $egl_packages && use_first_of egl
  # shellcheck disable=SC2086
  install $osmesa_packages && use_first_of osmesa
  say "error: MuJoCo still does not render:"
else
  say "error: MuJoCo cannot render on this machine yet, and only an administrator may install what it needs."
fi
say "  Debian, Ubuntu: sudo apt-get install $egl_packages"
say "  Fedora:         sudo dnf install mesa-libEGL mesa-dri-drivers libglvnd-opengl"
say "Then run the same command again."
exit 1
