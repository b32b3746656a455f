#!/usr/bin/env bash
# Installs system packages, if permitted, then a virtual environment with the Python packages.
# usage: scripts/setup.sh VENV PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1
python=$2
name=$(basename "$python")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

say() { echo "setup: $*" >&2; }

# Whether this user may install: root, or sudo, which asks for a password only on a terminal.
may_install() {
	[ "$(id -u)" = 0 ] && return
	command -v sudo >/dev/null || return 1
	sudo -n true 2>/dev/null && return
	[ -t 0 ] && [ -t 2 ] || return 1
	say "sudo may ask for your password, to install $*"
	sudo -v
}

# Runs a command as root; its output goes into the log.
as_root() {
	local sudo=(sudo -n)
	[ "$(id -u)" = 0 ] && sudo=()
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1
}

# The given packages that are not installed and that this release has.
missing() {
	local package lists=no
	apt-cache show libc6 >/dev/null 2>&1 && lists=yes
	for package in "$@"; do
		dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" && continue
		if [ $lists = no ] || apt-cache show "$package" >/dev/null 2>&1; then echo "$package"; fi
	done
}

install_system() {
	local packages
	mapfile -t packages < <(missing "$@")
	((${#packages[@]})) || return 0
	if may_install "${packages[@]}"; then
		as_root apt-get update -qq || true # one source may fail while another has all packages
		mapfile -t packages < <(missing "$@")
		((${#packages[@]})) || return 0
		say "installing ${packages[*]}"
		as_root apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 \
			"${packages[@]}" && return
		say "apt-get failed: $(grep '^E:' "$log" | tail -1)"
	fi
	say "an administrator has to install these packages; make doctor says what works without:"
	say "    sudo apt-get install ${packages[*]}"
}

make_venv() {
	if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
		say "$venv exists and is not a virtual environment; name another folder: VENV="
		exit 2
	fi
	"$python" -m venv --clear "$venv" >>"$log" 2>&1 && return
	# Debian packages ensurepip separately; an installed pip can replace it.
	"$python" -m venv --clear --without-pip "$venv" >>"$log" 2>&1 &&
		"$python" -m pip --python "$venv/bin/python" install -qq pip >>"$log" 2>&1 && return
	say "$python cannot create a virtual environment: sudo apt-get install $name-venv"
	exit 2
}

system=(libegl1 libgl1 libgles2 libosmesa6 mesa-vulkan-drivers)
if [[ $name =~ ^python3(\.[0-9]+)?$ ]] && ! "$python" -c 'import ensurepip' 2>/dev/null; then
	system+=("$name" "$name-venv") # a bare system has neither
fi
if command -v apt-get >/dev/null; then
	install_system "${system[@]}"
else
	say "this is not Debian or Ubuntu; install EGL, OSMesa and a Vulkan driver yourself"
fi

if ! command -v "$python" >/dev/null; then
	say "there is no $python; name Python 3.11 or newer: make setup PYTHON=/path/to/python3"
	exit 2
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	say "$("$python" --version) is too old; name 3.11 or newer: make setup PYTHON=python3.12"
	exit 2
fi
# An environment whose creation was interrupted has a python, but no pip.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv

if [ -e "$venv/.installed" ]; then
	say "checking the Python packages in $venv"
else
	say "installing Python packages into $venv (several GB, some minutes)"
fi
# -qq: warnings of pip and setuptools about the machine's settings need no action.
pip=("$venv/bin/python" -m pip install -qq --disable-pip-version-check)
if ! "${pip[@]}" --upgrade pip || ! "${pip[@]}" -e '.[sim,objects,train,cluster,calibration,bench,docs,dev]'; then
	say "the Python packages could not be installed; correct the above and run make setup again"
	exit 1
fi
touch "$venv/.installed"
say "done; make doctor checks which parts of this machine work"
