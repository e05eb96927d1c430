#!/bin/sh
# Train the sentiment starter: sh sentiment.sh DATA MINILM [WORK], on the files that sentiment_data.py names.
# MINILM is the folder of all-MiniLM-L6-v2, or a name that lmcli finds it by.
set -eu
recipe=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd)
minilm=$2
work=${3:-sentiment-work}

python "$recipe/sentiment_data.py" "$data" "$work"
cp "$recipe"/sentiment*.toml "$work"
cd "$work"
# English first: it makes the labels of the translations, and lends its meaning to the Chinese characters.
lmcli finetune --recipe sentiment-english.toml -m "$minilm" english.jsonl films.jsonl -o ./english
lmcli sentiment -m ./english --field en everyday.jsonl > everyday_judged.jsonl
lmcli sentiment -m ./english --field text reviewed.jsonl > reviewed_judged.jsonl
python "$recipe/sentiment_data.py" "$data" . judged
lmcli tokenizer fit ./english english.jsonl both.jsonl own.jsonl -o ./fitted --size 20000 \
    --add-characters --pairs translations.jsonl --from en --to zh
lmcli finetune --recipe sentiment.toml -m ./fitted both.jsonl own.jsonl -o ./starter-sentiment
lmcli quantize ./starter-sentiment -o ./starter-sentiment-int8
for set in sentiment_en/sst2 sentiment_en/goemotions3 sentiment_zh/chnsenticorp sentiment_zh/shopping10 \
    sentiment_zh/waimai; do
    [ -f "$data/${set}_dev.jsonl" ] || continue
    lmcli evaluate "$data/${set}_dev.jsonl" --task classify -m ./starter-sentiment-int8
done
