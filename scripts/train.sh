#!/usr/bin/env bash
# One fine-tuning: train, check the model, rename its folder. The Snakefile starts it in the folder of a seed.
#
#   train.sh GROUP EPOCHS MADE_FROM TEMPLATE GPUS COMMAND ...
#
# COMMAND trains from groups/GROUP.jsonl into tuned/GROUP.partial. EPOCHS: after which epochs a model is kept, besides the
# last one ("1 2", or none). MADE_FROM: what the result depends on, besides the rows. TEMPLATE: the chat template that the
# model is to be saved with. GPUS: how many it trains on, of those that are visible; 0 for all of them, or none.
set -euo pipefail
group=$1 epochs=$2 made=$3 template=$4 gpus=$5
shift 5
model=tuned/$group log=logs/$group.train.log
rows=$(sha256sum < "groups/$group.jsonl" | cut -c 1-64)
made+=$'\n'"rows: $rows"

# A finished training is kept as long as it would be made from the same, whatever made Snakemake run this again.
finished() {
  [ "$(cat "$model/made_from.yml" 2> /dev/null)" = "$made" ] || return 1
  for epoch in $epochs; do [ -d "$model/epoch-$epoch" ] || return 1; done
}

train() {
  rm -rf "$model.partial" "prepared/$group"-*
  "$@"
  # Axolotl ends with exit code 0 when it is interrupted, too.
  if ! grep -q 'Training completed!' "$model.partial/debug.log"; then
    echo "The training was interrupted" >&2
    return 1
  fi
  local saved=("$model.partial")
  for epoch in $epochs; do
    step=$(find "$model.partial" -maxdepth 1 -name 'checkpoint-*' | sort -V | head -n 1)
    if [ -z "$step" ]; then
      echo "No model was saved after epoch $epoch: the training has too few steps" >&2
      return 1
    fi
    mv "$step" "$model.partial/epoch-$epoch"
    saved+=("$model.partial/epoch-$epoch")
  done
  rm -rf "$model.partial"/checkpoint-*
  consistency checkpoint --load --template "$template" "${saved[@]}"
  consistency experiment host --gpus "$gpus" > "$model.partial/host.json"
  printf '%s\n' "$made" > "$model.partial/made_from.yml"
  rm -rf "$model"
  mv "$model.partial" "$model"
}

if ! finished; then
  train "$@" >> "$log" 2>&1
fi
consistency checkpoint --template "$template" "$model" > "$model.checked.txt" 2>> "$log"
