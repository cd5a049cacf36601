#!/usr/bin/env bash
# Runs the tests:
#
#     tests/run.sh [STAGE…]
#
# unit       every cmocka program (tests/unit)
# asan       the same programs, built with the address and undefined-behaviour sanitizers
# tools      the tests of the scripts in tools/
# python     the Python package, installed from a wheel (python/tests)
# e2e        enclaves as a user starts them, with real clients (tests/e2e)
# e2e-asan   the same against the sanitizer build
#
# Without a stage: unit, asan, tools, python, e2e. Prints each case and its result; the last line is `N passed, N failed`
# (skipped cases are printed as `skipped: …` and counted in neither). Exit status 1 when a case failed or none ran.
# Stops every process that the tests started, also when interrupted.
set -euo pipefail

top=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
buildroot=$top/tools/buildroot
# shellcheck source=tools/buildroot/progress.sh
. "$buildroot/progress.sh"
cd "$top"

sanitizers=('-Db_sanitize=address,undefined' -Db_lundef=false)
limit_s=1800 # for one stage: a net under the limits that the tests set themselves
passed=0
failed=0
mark="tests.$$.$(date +%s)"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/blindbox-tests.XXXXXX")
# shellcheck disable=SC2016 # expanded when it runs
finally 'stop_marked "$mark"; rm -rf "$scratch"'

# Prints what tally.py says and adds its last line, two numbers, to the totals.
count() {
    local counts
    if ! "$buildroot/enter" python3 tests/tally.py "$@" >"$scratch/tally"; then
        fail "the results of $2 cannot be read"
        return
    fi
    sed '$d' "$scratch/tally"
    read -r -a counts < <(tail -n 1 "$scratch/tally")
    passed=$((passed + counts[0]))
    failed=$((failed + counts[1]))
}

fail() {
    printf 'FAILED  %s\n' "$1"
    failed=$((failed + 1))
}

# build DIR [OPTION…]
build() {
    start_job "$buildroot/build" "$@"
    wait_job || { fail "compiling in $1"; return 1; }
}

# run_unit LABEL DIR
run_unit() {
    local log=$top/$2/meson-logs/testlog.json
    stage "unit tests ($1)"
    rm -f "$log"
    # shellcheck disable=SC2016 # expanded by the inner shell; failures are counted from the log, with their output
    run_shown "unit tests" "$scratch/meson.log" last_line env "BLINDBOX_RUN_MARK=$mark" bash -c '"$@" || true' unit \
        "$buildroot/enter" timeout -k 10 "$limit_s" \
        meson test -C "$2" --no-rebuild --suite unit --timeout-multiplier 3
    if [ -s "$log" ]; then
        count meson "$1" "$log"
    else
        cat "$scratch/meson.log"
        fail "$1: no test program ran"
    fi
}

# run_pytest LABEL DIR PATH…: pytest prints each case as it ends.
run_pytest() {
    local label=$1 dir=$2 rc=0
    shift 2
    stage "$label tests"
    JOB_SIGNAL=INT # pytest then takes its fixtures down
    start_job env "BLINDBOX_RUN_MARK=$mark" "BLINDBOX_BUILD=$top/$dir" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 \
        "$buildroot/enter" timeout -s INT -k 30 "$limit_s" python3 -m pytest -p no:cacheprovider -v --tb=short -rN \
        --junitxml="$scratch/$label.xml" "$@"
    wait_job || rc=$?
    JOB_SIGNAL=TERM
    if [ -s "$scratch/$label.xml" ]; then
        count pytest "$label" "$scratch/$label.xml" --quiet
    fi
    # 0 and 1 are pytest's "all passed" and "some failed"; the rest means that it did not get through.
    [ "$rc" -le 1 ] || fail "$label: pytest ended with status $rc"
    stop_marked "$mark"
}

run_stage() {
    case $1 in
    unit) build build && run_unit unit build ;;
    asan) build build-asan "${sanitizers[@]}" && run_unit asan build-asan ;;
    tools) start_job "$buildroot/make-root" && wait_job && run_pytest tools build tools/tests ;;
    python) build build && run_pytest python build python/tests ;;
    e2e) build build && run_pytest e2e build tests/e2e ;;
    e2e-asan) build build-asan "${sanitizers[@]}" && run_pytest e2e-asan build-asan tests/e2e ;;
    *) echo "no such stage: $1 (unit, asan, tools, python, e2e, e2e-asan)" >&2 && exit 2 ;;
    esac
}

[ $# -gt 0 ] || set -- unit asan tools python e2e
for name in "$@"; do
    run_stage "$name" || true
done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
