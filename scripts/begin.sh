# Sourced before the program of a rule. It sets `log`, the program's log, and the program's environment.
#
#   source begin.sh LOG THREADS AGAIN [NAME=VALUE ...]
#
# The shell of the rule starts itself again below supervise.py, which ends it with Snakemake and writes its exit code, the last
# line of the log, if it fails. AGAIN is the number of attempts before this one, where a profile has failed runs tried again.
# Only those that were stopped from outside (a code from 128 on, or none) are: the others would fail again.
log=$PWD/$1 threads=$2 again=$3
shift 3
mkdir -p "$(dirname "$log")"
if [ "${SUPERVISOR:-}" != "$PPID" ]; then
  code=$(tail -n 1 "$log" 2> /dev/null | sed -n 's/^exit code //p' || true)
  if [ "$again" -gt 0 ] && [ "${code:-255}" -lt 128 ]; then exit "$code"; fi
  exec python "$(dirname "${BASH_SOURCE[0]}")/supervise.py" "$PPID" "$log" "$BASH" -c "$BASH_EXECUTION_STRING"
fi
export OMP_NUM_THREADS="$threads" "$@"
