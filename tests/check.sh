#!/usr/bin/env bash
# All tests, one after the other; ends with one line that adds up their counts. Called by `make check`.
set -u
cd "$(dirname "$0")/.."
out=build/check
mkdir -p "$out"
passed=0 failed=0 skipped=0

# Run a make target; its log is shown and kept, and its last "N passed, N failed, N skipped" line is added up.
part() {
    local target=$1 log=$out/$1.log status line
    echo "== $target"
    make --no-print-directory "$target" 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
    if [ "$target" = check-unit ]; then
        line=$(sed -n 's/.*Tested: *\([0-9]*\) *| *Passing: *\([0-9]*\) *| *Failing: *\([0-9]*\).*/\2 passed, \3 failed/p' \
            "$log" | tail -n 1)
    fi
    if [ -n "$line" ]; then
        set -- $(echo "$line" | tr -dc '0-9 ')
        passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + ${3:-0}))
        [ "$status" = 0 ] || [ "$2" != 0 ] || failed=$((failed + 1))
    elif [ "$status" != 0 ]; then
        failed=$((failed + 1))
    fi
}

part check-unit
part check-images
part check-driver
part check-guest
part check-e2e
part check-hw
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
