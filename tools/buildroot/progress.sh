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
# traps that stop_on_signals sets call stop_job. If the script itself is killed the kernel kills the job (pdeathsig).
# A job that starts daemons gets BLINDBOX_RUN_MARK=… in its environment; stop_marked finds them by it.

JOB_PID=
JOB_SIGNAL=TERM # what asks a job to end

stage() {
    printf '==> %s\n' "$*" >&2
}

# Ends the running job and everything in its process group; returns when the job is gone.
stop_job() {
    [ -n "$JOB_PID" ] || return 0
    local pid=$JOB_PID tries=0
    JOB_PID=
    kill "-$JOB_SIGNAL" -- "-$pid" 2>/dev/null || true
    while kill -0 -- "-$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 30 ] || kill -KILL -- "-$pid" 2>/dev/null || true
        [ "$tries" -lt 100 ] || break
        sleep 0.1
    done
    wait "$pid" 2>/dev/null || true
}

# For traps: what an interrupted script still owes (its own clean-up runs in the EXIT trap).
stop_on_signals() {
    trap 'stop_job; exit 130' INT
    trap 'stop_job; exit 143' TERM
    trap 'stop_job; exit 129' HUP
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
    setpriv --pdeathsig KILL -- "$@" </dev/null &
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

run_shown() {
    local label=$1 log=$2 detail=$3 begin=$SECONDS nap=0.02 shown=$SECONDS tick rc=0
    shift 3
    exec {tick}<> <(:)
    start_job "$@" >"$log" 2>&1
    while kill -0 "$JOB_PID" 2>/dev/null; do
        read -rt "$nap" -u "$tick" || true
        case $nap in 0.02) nap=0.05 ;; 0.05) nap=0.1 ;; *) nap=0.25 ;; esac
        if [ -t 2 ]; then
            [ $((SECONDS - begin)) -lt 1 ] ||
                printf '\r\033[K    %s: %d s  %s' "$label" $((SECONDS - begin)) "$("$detail" "$log")" >&2
        elif [ $((SECONDS - shown)) -ge 2 ]; then
            shown=$SECONDS
            printf '    %s: %d s  %s\n' "$label" $((SECONDS - begin)) "$("$detail" "$log")" >&2
        fi
    done
    wait_job || rc=$?
    exec {tick}>&-
    [ ! -t 2 ] || printf '\r\033[K' >&2
    if [ "$rc" -ne 0 ]; then
        tail -n 40 "$log" >&2
        printf '%s failed (exit status %d). The whole log: %s\n' "$label" "$rc" "$log" >&2
    elif [ $((SECONDS - begin)) -ge 2 ]; then
        printf '    %s: done in %d s\n' "$label" $((SECONDS - begin)) >&2
    fi
    return "$rc"
}
