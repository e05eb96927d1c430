#!/bin/sh
# Train the translation starter: sh translation.sh DATA [WORK], on the files that translation_data.py names.
set -eu
recipe=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd)
work=${2:-translation-work}

python "$recipe/translation_data.py" "$data" "$work"
cp "$recipe/translation-config.json" "$recipe/translation.toml" "$work"
cd "$work"
[ -d tokenizer ] || lmcli tokenizer train --for translate --languages en,zh --characters --size 10000 \
    --texts 400000 --max-length 256 vocabulary.tsv -o tokenizer
# A run that was stopped goes on: sh translation.sh DATA WORK again.
resume=$([ -d starter-translation ] && echo --resume || true)
lmcli pretrain --recipe translation.toml everyday.tsv technical.tsv -o ./starter-translation $resume
# Another sitting begins with the weights of the last:
#   lmcli finetune --task translate -m ./starter-translation --both-ways --batch-tokens 1200 --learning-rate 6e-4 \
#       --label-smoothing 0.1 --validation validation.tsv --repeat everyday.tsv=6 everyday.tsv technical.tsv -o ./second
for set in tatoeba msdocs_human captions3am; do
    [ -f "$data/${set}_dev.tsv" ] || continue
    lmcli evaluate "$data/${set}_dev.tsv" --task translate --from en --to zh -m ./starter-translation
    lmcli evaluate "$data/${set}_dev.tsv" --task translate --from zh --to en -m ./starter-translation
done
