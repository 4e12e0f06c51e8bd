#!/bin/sh
# The step of action.yml: pick the binary for this runner, check it against dist/SHA256SUMS, become it.
# POSIX sh, since a container job may have neither bash nor Python. What users set reaches the binary through INPUT_*
# variables; nothing of it is looked at here.
set -eu

action=${0%/*}/..
sums=$action/dist/SHA256SUMS

# fail SENTENCE: as the annotation of the run. A sentence names no path: with a line break in it, it would end the
# workflow command.
fail() {
    printf '::error title=pexpress::%s\n' "$1"
    exit 1
}

# The runner's own words for the machine where there are any. Source: GitHub's manual, "Variables reference".
os=${RUNNER_OS:-$(uname -s)}
arch=${RUNNER_ARCH:-$(uname -m)}

case $os in
    Linux) system=unknown-linux-musl ;;
    macOS | Darwin) system=apple-darwin ;;
    *) system= ;;
esac
case $arch in
    X64 | x86_64 | amd64) machine=x86_64 ;;
    ARM64 | aarch64 | arm64) machine=aarch64 ;;
    *) machine= ;;
esac
if [ -z "$system" ] || [ -z "$machine" ]; then
    fail "pexpress runs on Linux and macOS machines with X64 or ARM64 processors, and this runner is $os $arch: use another one, for example 'runs-on: ubuntu-latest'"
fi
name=pexpress-$machine-$system
binary=$action/dist/$name

[ -f "$binary" ] || fail "there is no $name in this commit of the action: use a released version of it, for example '@v1'"

# Lost with a zip or an artifact is the executable bit, and a directory may be mounted without execution: then, and
# only then, a copy that is this run's own.
if [ ! -x "$binary" ]; then
    copy=$(mktemp -d "${RUNNER_TEMP:-${TMPDIR:-/tmp}}/pexpress.XXXXXX") ||
        fail "$name may not be executed where it is, and no directory for a copy can be made: set RUNNER_TEMP to a directory that can be written"
    cp "$binary" "$copy/$name" && chmod 700 "$copy/$name" && [ -x "$copy/$name" ] ||
        fail "$name may not be executed where it is, nor as a copy in RUNNER_TEMP: set RUNNER_TEMP to a directory that allows it"
    binary=$copy/$name
fi

# The digest that dist/SHA256SUMS has for the binary; read by the shell itself, as starting a program takes longer.
wanted=
if [ -r "$sums" ]; then
    while read -r digest file || [ -n "$digest" ]; do
        [ "${file#\*}" != "$name" ] || wanted=$digest
    done <"$sums"
fi
[ -n "$wanted" ] || fail "dist/SHA256SUMS of the action has no line for $name, so that it cannot be checked: use a released version of the action"

# From standard input, so that no character of the path changes what is printed.
if command -v sha256sum >/dev/null 2>&1; then
    found=$(sha256sum <"$binary") || found=
elif command -v shasum >/dev/null 2>&1; then
    found=$(shasum -a 256 <"$binary") || found=
else
    fail "$name cannot be checked, as this machine has neither sha256sum nor shasum: install one (Debian: coreutils, Alpine: busybox or coreutils, macOS: perl)"
fi
found=${found%% *}
[ "$found" = "$wanted" ] || fail "$name is not the file that was released (SHA-256 ${found:-unknown}, and not $wanted): run the job again; if that does not help, report it to the authors of the action"

exec "$binary" action
