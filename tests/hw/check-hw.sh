#!/bin/bash
# Run tests inside the machine that run-hw.sh boots.
#
#   tests/hw/check-hw.sh VMM GUEST_DIR           the share for hardware KVM, of all lists
#   tests/hw/check-hw.sh VMM GUEST_DIR guest     all guest programs     } instead of a run on /dev/kvm, where a
#   tests/hw/check-hw.sh VMM GUEST_DIR e2e       all programs and checks } host has none
#
# Further words go to tests/e2e/run.py. Logs come back into build/hw-logs.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
vmm=$1 guest_dir=$2 part=${3:-share}
shift 2
[ $# = 0 ] || shift

case $part in
share) arguments='--hw --list tests/guest/cases.list --list tests/e2e/cases.list' ;;
guest) arguments='--no-checks --list tests/guest/cases.list' ;;
e2e) arguments='' ;;
*) echo "check-hw: $part: share, guest or e2e" >&2; exit 2 ;;
esac

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/tests/guest"
cp -r "$top/tests/e2e" "$stage/tests/"
cp "$top/tests/guest/cases.list" "$stage/tests/guest/"
rm -rf "$stage/tests/e2e/__pycache__" "$top/build/hw-logs"

files=()
[ ! -e "$vmm" ] || files=(-f "$vmm")
: "${HW_TIMEOUT:=900}"
export HW_TIMEOUT
status=0
"$here/run-hw.sh" -p "${files[@]}" -d "$guest_dir" -d "$stage/tests" -o "$top/build/hw-logs" -- \
    "python3 -B tests/e2e/run.py --vmm /t/$(basename "$vmm") --guest-dir /t/guest-tests --log-dir /t/out \
     --slow ${HW_SLOW:-2} --jobs 1 --machine $arguments $*" || status=$?
# the machine that never came up is one failure, in the form that the callers add up
[ "$status" != 255 ] || echo "0 passed, 1 failed, 0 skipped"
exit "$status"
