#!/bin/bash
# Installs what the tests need on Debian or Ubuntu and runs all of them. Vitest writes its account of them to
# node_modules/.cache/test-results.json.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { # need PACKAGE COMMAND...: the package is wanted when the command fails
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || packages+=("$package")
}
shared_library() { [[ $(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p) == *"$1"* ]]; }

need qemu-utils sh -c 'qemu-img --version && qemu-io --version && qemu-nbd --version'
need qemu-system-x86 qemu-system-x86_64 --version
need qemu-user qemu-x86_64 --version
need qemu-system-common qemu-storage-daemon --version
need nbdkit nbdkit --version
need openssl openssl version
need xz-utils xz --version
need p7zip-full 7z i
need strace strace -V
need util-linux-extra fincore --version
need acl getfacl --version
need attr getfattr --version
need e2fsprogs env PATH="$PATH:/usr/sbin:/sbin" mkfs.ext4 -V
need zsh zsh -f -c 'zmodload zsh/zpty'
need fish fish --version
need gcc cc --version
need libc6-dev cc -include stdio.h -xc -fsyntax-only /dev/null
need systemd systemd-analyze --version
need shellcheck shellcheck --version
need lintian lintian --version
need umoci umoci --version
need parallel parallel --version
need binutils strip --version
need groff groff -man -Tutf8 /dev/null
need python3 python3 -c 'import hashlib'
need libisal2 shared_library libisal.so.2
need libdeflate0 shared_library libdeflate.so.0
need libzstd1 shared_library libzstd.so.1
need libnbd0 shared_library libnbd.so.0

if ((${#packages[@]} > 0)); then
  as_root=()
  ((EUID == 0)) || as_root=(sudo)
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${packages[@]}"
fi

# Builds, too.
npm ci
npm run lint &
lint=$!
npm run typecheck
wait "$lint"
QCOW2C_TESTS=most npx vitest run --reporter=default --reporter=json \
  --outputFile.json=node_modules/.cache/test-results.json
