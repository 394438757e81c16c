# `make run` and `make test` each do all their own set-up on a fresh Debian 12 or 13, as root or with sudo.
.PHONY: run test fault soak check bench bench-inference bench-gpu audit sbom reproduce-models setup setup-federation setup-test clean constraints

run: setup
	exec .venv/bin/senogate up --demo

test: setup-test
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -n 3 -m "not fault" tests

fault: setup-test  ## a site is broken in a hundred ways while exams arrive, a federation while it trains: an hour
	.venv/bin/python -m tests.fault --rounds 100 --output benchmarks/results/fault.json
	.venv/bin/pytest -m fault tests

soak: setup-test  ## an hour of everything together; SOAK="--minutes 5" for less
	.venv/bin/python -m benchmarks.soak $(SOAK)

check: setup-test  ## the quick ones: format, lint, types, imports, unit tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/pytest -n 2 tests/unit

bench: setup-test
	.venv/bin/python -m benchmarks

bench-inference: setup-test  ## what reading costs, against the network alone and the way a plugin does it; latency
	test -x .venv-bench/bin/python || python3 -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check \
		--extra-index-url https://download.pytorch.org/whl/cpu torch==2.13.0 numpy pydicom onnx
	.venv/bin/python -m benchmarks inference detection latency

bench-gpu: setup-test  ## the same on a GPU; says so where there is none
	.venv/bin/python -m benchmarks gpu

audit:  ## known vulnerabilities of what is pinned; asks PyPI for its advisories
	test -x .venv-audit/bin/pip-audit || { python3 -m venv .venv-audit && .venv-audit/bin/pip install --quiet pip-audit; }
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

sbom: setup-test  ## sbom.cdx.json and docs/licences.md, of what is installed; refuses GPL in what sites import
	.venv/bin/python tools/sbom.py

reproduce-models:  ## train the built-in models again from their seeds and compare their figures
	test -x .venv-training/bin/python || python3 -m venv .venv-training
	.venv-training/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--extra-index-url https://download.pytorch.org/whl/cpu --editable '.[inference,training]'
	nice -n 10 .venv-training/bin/python -m inference.training.reproduce .reproduced

setup:
	@tools/setup.sh run

setup-federation:  ## what training with other sites needs beside
	@tools/setup.sh federation

setup-test:
	@tools/setup.sh test

constraints: setup-test  ## pin what the virtual environment holds
	.venv/bin/pip freeze --exclude-editable | grep -iv '^torch' > constraints.txt

clean:
	rm -rf .venv .venv-audit .venv-bench .venv-training .reproduced .ohif .orthanc .orthanc-python .*.part .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
