#!/bin/sh
# Train the translation starter: sh translation.sh DATA [WORK], on the files that translation_data.py names.
# A run that was stopped goes on with the same command.
set -eu
recipe=$(cd "$(dirname "$0")" && pwd)
data=$(cd "$1" && pwd)
work=${2:-translation-work}

python "$recipe/translation_data.py" "$data" "$work"
cp "$recipe/translation-config.json" "$recipe/translation.toml" "$work"
cd "$work"
[ -d tokenizer ] || lmcli tokenizer train --for translate --languages en,zh --characters --size 10000 \
    --texts 400000 --max-length 256 vocabulary.tsv -o tokenizer
if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    # Twenty times through all of it, in large batches (not tried yet).
    lmcli pretrain --recipe translation.toml --epochs 20 --repeat everyday.tsv=2 --batch-tokens 16384 \
        everyday.tsv technical.tsv -o ./starter-translation --resume
else
    # Two processes of a thread each share every step.
    OMP_NUM_THREADS=1 python -m torch.distributed.run --nproc-per-node 2 -m lmcli pretrain --recipe translation.toml \
        --batch-tokens 1600 --max-steps 6000 everyday.tsv technical.tsv -o ./starter-translation --resume
fi
# The search that it translates with where nothing else is said.
python - starter-translation/generation_config.json <<'END'
import json, pathlib, sys
file = pathlib.Path(sys.argv[1])
file.write_text(json.dumps(json.loads(file.read_text()) | {"num_beams": 4}, indent=2) + "\n")
END
lmcli quantize ./starter-translation -o ./starter-translation-int8
for set in tatoeba msdocs_human captions3am; do
    [ -f "$data/${set}_dev.tsv" ] || continue
    lmcli evaluate "$data/${set}_dev.tsv" --task translate --from en --to zh -m ./starter-translation-int8
    lmcli evaluate "$data/${set}_dev.tsv" --task translate --from zh --to en -m ./starter-translation-int8
done
