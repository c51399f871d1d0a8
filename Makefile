# make run: from sample photographs to a served codec · make check: lint and the quick tests · make test-all: all tests
# make env: the environment alone
PYTHON := .venv/bin/python
KOMPAKT := .venv/bin/kompakt
UV ?= uv
OUT ?= runs/sample
MODEL = $(OUT)/serving/mean_scale_hyperprior
# Of the test split: the model has not seen it.
PICTURE ?= .venv/lib/python3.10/site-packages/skimage/data/coffee.png
TESTS = $(PYTHON) -m pytest -n auto --maxprocesses 4 --dist loadfile
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: run check test test-all env bench lint lock lock-tfx121 kubeflow clean
.DEFAULT_GOAL := run

run: env
	@$(KOMPAKT) run mean_scale_hyperprior --preset small --dataset sample_photos --out "$(OUT)" $(ARGS)
	@$(KOMPAKT) compress "$(PICTURE)" --model "$(MODEL)" --out "$(OUT)/decoded" --overwrite --psnr
	@$(KOMPAKT) decompress "$(OUT)/decoded" --model "$(MODEL)" --out "$(OUT)/decoded" --overwrite
	@echo "the same picture by the released codec:"
	@$(KOMPAKT) compress "$(PICTURE)" --quality 50 --out "$(OUT)/released" --overwrite --psnr
	@$(KOMPAKT) decompress "$(OUT)/released" --out "$(OUT)/released" --overwrite

check: lint test

# All but what is marked slow, unless ARGS choose.
test: env
	@$(TESTS) $(if $(ARGS),$(ARGS),-m "not slow")

test-all: env
	@$(TESTS) $(ARGS)

env:
	@scripts/setup.sh

# The file that `compile` writes, run here as on a cluster: make kubeflow RECIPE=factorized SET="channels=16 steps=60"
RECIPE ?= small_cnn
SET ?= steps=150 steps_per_epoch=50
kubeflow: env
	@mkdir -p "runs/kubeflow/$(RECIPE)"
	@$(KOMPAKT) compile $(RECIPE) $(SET:%=--set %) --claim kompakt $(ARGS) --out "runs/kubeflow/$(RECIPE)/pipeline.yaml"
	@$(KOMPAKT) kubeflow-local "runs/kubeflow/$(RECIPE)/pipeline.yaml" --out "runs/kubeflow/$(RECIPE)"

bench: env
	@for file in tests/benchmarks/bench_*.py; do $(PYTHON) -m tests.benchmarks.$$(basename $$file .py) || exit 1; done

lint: env
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .

# Need uv. What is pinned stays as it is where requirements.txt allows it.
COMPILE = $(UV) pip compile --python-version 3.10 --no-annotate --no-emit-index-url --no-emit-find-links -q
lock:
	@$(COMPILE) requirements.txt --custom-compile-command "make $@" -o requirements.lock

# The stack of TFX 1.21: requirements.txt, where requirements-tfx121.txt has no line for the same name.
lock-tfx121:
	@awk -F'[][=;]' '/^#/ {next} NR == FNR {own[$$1]} NR == FNR || !($$1 in own)' requirements-tfx121.txt requirements.txt \
	  | $(COMPILE) - --python-platform x86_64-manylinux_2_39 --custom-compile-command "make $@" -o requirements-tfx121.lock

clean:
	rm -rf build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
