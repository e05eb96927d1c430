#!/bin/sh
# Train the sentiment starter: sh sentiment.sh DATA MINILM [WORK], on the files that sentiment_data.py names.
# MINILM is the folder of all-MiniLM-L6-v2, or a name that lmcli finds it by. It takes pip install 'lmcli[chinese]'.
set -eu
recipe=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd)
minilm=$2
work=${3:-sentiment-work}

python "$recipe/sentiment_data.py" "$data" "$work"
cp "$recipe"/sentiment*.toml "$work"
cd "$work"
# English first: it makes the labels of the translations, and lends its meaning to the Chinese characters.
for seed in 1 2; do
    lmcli finetune --recipe sentiment-english.toml --seed $seed -m "$minilm" english.jsonl films.jsonl -o ./first-$seed
    lmcli sentiment -m ./first-$seed --field text reviewed.jsonl > reviewed_judged.jsonl
    python "$recipe/sentiment_data.py" "$data" . reviews
    lmcli finetune --recipe sentiment-english.toml --seed $seed -m ./first-$seed again.jsonl films.jsonl \
        -o ./english-$seed
done
lmcli merge ./english-1 ./english-2 -o ./english
lmcli sentiment -m ./english --field en everyday.jsonl > everyday_judged.jsonl
python "$recipe/sentiment_data.py" "$data" . both
lmcli tokenizer fit ./english english.jsonl both.jsonl own.jsonl -o ./fitted --size 20000 \
    --add-characters --pairs translations.jsonl --from en --to zh
for seed in 1 2; do
    lmcli finetune --recipe sentiment.toml --seed $seed -m ./fitted both.jsonl own.jsonl -o ./both-$seed
done
# What it began with has a share, so that English, which it knew before, is not forgotten.
lmcli merge ./fitted ./both-1 ./both-2 -o ./starter-sentiment
lmcli quantize ./starter-sentiment -o ./starter-sentiment-int8
for set in sentiment_en/sst2 sentiment_en/goemotions3 sentiment_zh/chnsenticorp sentiment_zh/shopping10 \
    sentiment_zh/waimai; do
    [ -f "$data/${set}_dev.jsonl" ] || continue
    lmcli evaluate "$data/${set}_dev.jsonl" --task classify -m ./starter-sentiment-int8
done
