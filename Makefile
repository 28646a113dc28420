# Every target does its own set-up: the virtual environment is made once, and again when the requirements change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test quick lint types wheel house coverage check chromium gpu clean

demo: $(READY)
	$(BIN)/genae train stacked-wae --data digits --run runs/demo
	$(BIN)/genae evaluate runs/demo
	$(BIN)/genae report runs/demo

test: $(READY) chromium
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The explorer's page is tested in a browser; where there is none and none can be installed, its tests are skipped.
chromium:
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
	|| { test "$$(id -u)" = 0 && apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } \
	|| echo "no Chromium: the page's tests will be skipped"

quick: $(READY)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# The wheel must install and answer on its own: into a folder, beside the environment that holds its requirements.
wheel: $(READY)
	rm -rf dist build/wheel
	$(BIN)/python -m build --wheel --no-isolation --outdir dist
	$(BIN)/python -m pip install --quiet --no-deps --target build/wheel dist/*.whl
	cd build/wheel && PYTHONPATH=. PYTHONSAFEPATH=1 ../../$(BIN)/python ../../tools/wheel_answers.py

# The figures of the house (longest function, imports that point up, ...), each with its limit.
house: $(READY)
	$(BIN)/python tools/house.py

# Which lines of src the suite runs, the commands that it starts included; below 92 % it fails.
coverage: $(READY) chromium
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# On a machine with an NVIDIA GPU: the suite and every benchmark that a GPU changes (benchmarks/README.md says what to expect).
# DATA is where MNIST's files are. One that fails does not keep the others from running.
DATA ?= data
gpu: $(READY)
	mkdir -p build/gpu
	-$(BIN)/python -m pytest --device cuda 2>&1 | tee build/gpu/tests.txt
	-$(BIN)/python benchmarks/memory.py --device cuda 2>&1 | tee build/gpu/memory.txt
	-$(BIN)/python benchmarks/swae_throughput.py --device cuda --width 64 --iterations 50 --data-root $(DATA) 2>&1 | tee build/gpu/swae.txt
	-$(BIN)/python benchmarks/style_throughput.py --device cuda --rounds 20 2>&1 | tee build/gpu/style.txt
	-$(BIN)/python benchmarks/patch_throughput.py --device cuda --iterations 50 2>&1 | tee build/gpu/patch.txt
	-$(BIN)/python benchmarks/alae_throughput.py --device cuda --iterations 200 --data-root $(DATA) 2>&1 | tee build/gpu/alae.txt
	-$(BIN)/python benchmarks/evaluate_throughput.py --device cuda --count 5000 2>&1 | tee build/gpu/evaluate.txt
	-$(BIN)/python benchmarks/repeats.py --device cuda 2>&1 | tee build/gpu/repeats.txt
	-$(BIN)/python benchmarks/scaling.py --device cuda 2>&1 | tee build/gpu/scaling.txt

check: test lint types wheel house

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist .coverage .coverage.*
