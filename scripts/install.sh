#!/bin/sh
# Install pexpress for use in a terminal, from a release, after comparing its SHA-256 with the one of that release.
#
#   curl -fsSL https://github.com/OWNER/REPOSITORY/releases/latest/download/install.sh | sh
#
# PEXPRESS_INSTALL_DIR is the target directory; default: ~/.local/bin. If GitHub's `gh` is installed and logged in, the provenance
# is checked too: that the workflow of this repository built the file. The release workflow fills in the two names
# below; in a checkout, set PEXPRESS_REPOSITORY and PEXPRESS_VERSION, or build with `cargo install --path .`.
set -eu

repository=${PEXPRESS_REPOSITORY:-@REPOSITORY@}
version=${PEXPRESS_VERSION:-@VERSION@}

fail() {
    echo "install: $1" >&2
    exit 1
}

# The name of the binary for this machine.
target() {
    case "$(uname -s) $(uname -m)" in
        "Linux x86_64") echo x86_64-unknown-linux-musl ;;
        "Linux aarch64" | "Linux arm64") echo aarch64-unknown-linux-musl ;;
        "Darwin arm64") echo aarch64-apple-darwin ;;
        "Darwin x86_64") echo x86_64-apple-darwin ;;
        *) fail "there is no binary for $(uname -s) on $(uname -m); with Rust: cargo install --git https://github.com/$repository" ;;
    esac
}

# download ADDRESS FILE
download() {
    if command -v curl >/dev/null 2>&1; then
        curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"
    elif command -v wget >/dev/null 2>&1; then
        wget --quiet --tries=3 --output-document="$2" "$1"
    else
        fail "curl or wget is required"
    fi || fail "could not download $1"
}

# sha256 FILE: its hexadecimal digits.
sha256() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum "$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 "$1"
    else
        fail "sha256sum or shasum is required to verify the download"
    fi | cut -d ' ' -f 1
}

main() {
    case $repository$version in
        *@*) fail "this copy does not come from a release: set PEXPRESS_REPOSITORY and PEXPRESS_VERSION, or use cargo install --path ." ;;
    esac
    releases=${PEXPRESS_RELEASES:-https://github.com/$repository/releases/download}
    directory=${PEXPRESS_INSTALL_DIR:-${HOME:?}/.local/bin}
    name=pexpress-$(target)
    mkdir -p "$directory" || fail "could not make $directory"
    # In the same directory, so that the rename is atomic.
    partial=$(mktemp -d "$directory/.pexpress-XXXXXX") || fail "could not write to $directory"
    trap 'rm -rf "$partial"' EXIT

    download "$releases/$version/SHA256SUMS" "$partial/SHA256SUMS"
    download "$releases/$version/$name" "$partial/pexpress"
    wanted=$(sed -n "s/^\([0-9a-f]\{64\}\)  $name\$/\1/p" "$partial/SHA256SUMS")
    [ -n "$wanted" ] || fail "SHA256SUMS of $version does not list $name"
    got=$(sha256 "$partial/pexpress")
    [ "$got" = "$wanted" ] || fail "$name has SHA-256 $got, and $wanted is that of the release; nothing was installed"
    if command -v gh >/dev/null 2>&1 && gh auth status >/dev/null 2>&1; then
        gh attestation verify "$partial/pexpress" --repo "$repository" >/dev/null ||
            fail "the provenance of $name could not be verified; nothing was installed"
        echo "install: provenance verified"
    fi
    chmod 755 "$partial/pexpress"
    "$partial/pexpress" -V >/dev/null || fail "$name does not run on this machine"
    mv "$partial/pexpress" "$directory/pexpress"
    echo "install: $("$directory/pexpress" -V) is at $directory/pexpress"
    case :$PATH: in
        *:"$directory":*) ;;
        *) echo "install: add $directory to PATH" ;;
    esac
}

# Called at the very end, so that a download that broke off runs nothing.
main
