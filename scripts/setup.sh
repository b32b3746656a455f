#!/usr/bin/env bash
# Installs what OpenDactyl needs: system packages when allowed to, then a virtual environment.
# usage: scripts/setup.sh VENV PYTHON
set -euo pipefail
venv=$1
python=$2
packages=(libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers)

missing=()
for package in "${packages[@]}"; do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing+=("$package")
done
if ((${#missing[@]})); then
	if ! command -v apt-get >/dev/null; then
		echo "setup: this is no Debian or Ubuntu; install EGL, OSMesa and a Vulkan driver yourself" >&2
	elif [ "$(id -u)" = 0 ]; then
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
	elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
		sudo apt-get update -qq
		sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
	else
		echo "setup: rendering needs system packages that only an administrator can install:" >&2
		echo "setup:     sudo apt-get install ${missing[*]}" >&2
	fi
fi

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	echo "setup: $("$python" --version) is too old; name Python 3.11 or newer: make setup PYTHON=python3.12" >&2
	exit 2
fi
if [ ! -x "$venv/bin/python" ] && ! "$python" -m venv "$venv"; then
	echo "setup: no virtual environment could be made: sudo apt-get install python3-venv" >&2
	exit 2
fi
echo "setup: installing Python packages into $venv (several GB, a few minutes)"
"$venv/bin/python" -m pip install --quiet --upgrade pip
"$venv/bin/python" -m pip install --quiet -e '.[sim,train,cluster,bench,dev]'
touch "$venv/.installed"
