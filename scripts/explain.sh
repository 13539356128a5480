#!/usr/bin/env bash
# Explanations of a model's answers in rounds: it explains them, each explanation is checked, those that fail are asked for again.
#
#   explain.sh OUT ATTEMPTS REQUESTS EXPLAIN_TASKS CHECK_TASKS MADE_FROM COMMAND ...
#
# COMMAND is lm_eval with its model; --tasks, --metadata, --seed and --output_path are added. `consistency rounds` says what is
# run next. OUT appears when nothing is left to do. Until then finished runs are kept in OUT.partial, so that a run that was
# killed resumes, as long as it would be made from the same (MADE_FROM and the requests).
set -euo pipefail
out=$1 attempts=$2 requests=$3 explain=$4 check=$5 made=$6
shift 6
work=$out.partial
made+=$'\n'"attempts: $attempts"$'\n'"requests: $(sha256sum < "$requests" | cut -c 1-64)"
if [ "$(cat "$work/made_from.txt" 2> /dev/null)" != "$made" ]; then
  rm -rf "$work"
  mkdir -p "$work"
  printf '%s\n' "$made" > "$work/made_from.txt"
fi
while true; do
  next=$(consistency rounds "$work" --requests "$requests" --attempts "$attempts" --explain "$explain" --check "$check")
  [ -n "$next" ] || break
  mapfile -t step <<< "$next"
  tasks=${step[0]} metadata=${step[1]} seed=${step[2]} logs=${step[3]}
  rm -rf "$logs.partial"
  "$@" --tasks "$tasks" --metadata "$metadata" --seed "0,1234,$seed,1234" --output_path "$logs.partial"
  mv "$logs.partial" "$logs"
done
rm -rf "$out"
mv "$work" "$out"
