# shellcheck shell=bash
# Running one long command quietly, with signs of life. Sourced by the other scripts, never run.
#
#   stage TEXT                       prints "==> TEXT" on standard error
#   start_job CMD…                   starts CMD in the background; wait_job waits for it and returns its status
#   run_shown LABEL LOG DETAIL CMD…  runs CMD with its output in LOG; shows LABEL, the seconds so far and what the
#                                    function DETAIL prints when given LOG: in place on a terminal, else one line
#                                    every two seconds. On failure shows the end of LOG and its name.
#
# A command is a job with a process group of its own, so that a signal to the script never leaves it running: the
# traps that `finally` sets call stop_job. If the script itself is killed the kernel ends the job (pdeathsig).
# A job that starts daemons gets BLINDBOX_RUN_MARK=… in its environment; stop_marked finds them by it.

JOB_PID=
PROGRESS_PID=
JOB_SIGNAL=TERM  # what asks a job to end
JOB_PATIENCE=150 # tenths of a second until it is killed: longer than a script needs that stops jobs of its own

stage() {
    printf '==> %s\n' "$*" >&2
}

stop_progress() {
    [ -n "$PROGRESS_PID" ] || return 0
    kill -KILL -- "-$PROGRESS_PID" 2>/dev/null || true
    wait "$PROGRESS_PID" 2>/dev/null || true
    PROGRESS_PID=
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# Ends the running job and everything in its process group; returns when the job is gone. (The braces keep bash from
# reporting the death.)
stop_job() {
    stop_progress
    [ -n "$JOB_PID" ] || return 0
    local pid=$JOB_PID tries=0
    JOB_PID=
    {
        kill "-$JOB_SIGNAL" -- "-$pid"
        while kill -0 -- "-$pid"; do
            tries=$((tries + 1))
            [ "$tries" -lt "$JOB_PATIENCE" ] || kill -KILL -- "-$pid"
            [ "$tries" -lt $((JOB_PATIENCE + 50)) ] || break
            sleep 0.1
        done
        wait "$pid"
    } 2>/dev/null || true
}

# What an interrupted script still owes: ending its job, then CMD (its own clean-up), which a second signal must not
# cut short. `finally CMD` runs it however the script ends.
finally() {
    # shellcheck disable=SC2064 # the command of now
    trap "rc=\$?; trap '' INT TERM HUP; stop_job; ${1:-:}; exit \$rc" EXIT
    # Ignored at once: make passes on a signal that this script may have got already.
    trap 'trap "" INT TERM HUP; exit 130' INT
    trap 'trap "" INT TERM HUP; exit 143' TERM
    trap 'trap "" INT TERM HUP; exit 129' HUP
}

# Ends every process with the environment variable BLINDBOX_RUN_MARK=$1: asks first, kills after five seconds.
stop_marked() {
    local tries=0 signal=TERM pids
    while mapfile -t pids < <(grep -lszx "BLINDBOX_RUN_MARK=$1" /proc/[0-9]*/environ | cut -d/ -f3) &&
        [ ${#pids[@]} -gt 0 ]; do
        [ "$tries" -lt 50 ] || signal=KILL
        [ "$tries" -lt 60 ] || break
        [ $((tries % 50)) -ne 0 ] || kill "-$signal" "${pids[@]}" 2>/dev/null || true
        tries=$((tries + 1))
        sleep 0.1
    done
}

start_job() {
    set -m
    setpriv --pdeathsig "$JOB_SIGNAL" -- "$@" </dev/null &
    JOB_PID=$!
    set +m
}

wait_job() {
    local rc=0
    wait "$JOB_PID" || rc=$?
    JOB_PID=
    return "$rc"
}

last_line() {
    tail -n 1 "$1" 2>/dev/null | tr -d '\r' | cut -c1-90
}

# The part of a log that says why: ninja's failed steps without their command lines, else the end.
show_failure() {
    if grep -q '^FAILED: ' "$1"; then
        awk '/^FAILED: /{ show = 1 } /^\[[0-9]+\/[0-9]+\] /{ show = 0 } show && !/^(cc|gcc|clang) /' "$1" | head -n 80
    else
        tail -n 40 "$1"
    fi
}

# Prints how a job is doing until it is stopped: run_shown's companion, a job of its own.
show_progress() {
    local label=$1 log=$2 detail=$3 shell=$4 begin=$SECONDS period=2 format='    %s: %d s  %s\n'
    [ ! -t 2 ] || { period=0.5 && format='\r\033[K    %s: %d s  %s'; }
    while sleep "$period" && kill -0 "$shell" 2>/dev/null; do
        # shellcheck disable=SC2059 # one of the two above
        printf "$format" "$label" $((SECONDS - begin)) "$("$detail" "$log")" >&2
    done
}

# The shell itself only waits: bash crashes when a trap ends a script inside `read -t`.
run_shown() {
    local label=$1 log=$2 detail=$3 begin=$SECONDS rc=0 JOB_PATIENCE=50
    shift 3
    start_job "$@" >"$log" 2>&1
    set -m
    show_progress "$label" "$log" "$detail" $$ </dev/null &
    PROGRESS_PID=$!
    set +m
    wait_job || rc=$?
    stop_progress
    if [ "$rc" -ne 0 ]; then
        show_failure "$log" >&2
        printf '%s failed (exit status %d). The whole log: %s\n' "$label" "$rc" "$log" >&2
    elif [ $((SECONDS - begin)) -ge 2 ]; then
        printf '    %s: done in %d s\n' "$label" $((SECONDS - begin)) >&2
    fi
    return "$rc"
}
