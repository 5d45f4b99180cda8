# Every target installs what it needs and nothing twice.
.PHONY: serve test coverage soak lint fmt bench screenshots standin adapters lock audit sbom install install-engine install-dev

bin := .venv/bin

# ENGINE=llamacpp: the light way, in an environment of its own. It is for `serve` and `install`; all else needs the whole.
ENGINE ?=
export ENGINE ARGS
serving := $(if $(filter llamacpp,$(ENGINE)),.venv-light/bin,$(bin))
config := $(if $(filter llamacpp,$(ENGINE)),$(if $(findstring --config,$(ARGS)),,--config wrangler-like-config/llamacpp.toml))

serve:
	@requirements/install.sh serve
	@$(serving)/outworker serve $(config) $(ARGS)

test: install-dev
	@tests/browser.sh
	@tests/node.sh
	@tests/python.sh
	@tests/programs.sh
	@tests/run.sh $(ARGS)

# How much of app/ the tests run; ends with status 2 where it is less than pyproject.toml says.
coverage: install-dev
	@tests/browser.sh
	@tests/node.sh
	@tests/programs.sh
	@tests/coverage.sh

soak: install-dev
	@tests/node.sh
	@tests/python.sh
	@$(bin)/python -m pytest -m soak --soak $(ARGS)

lint: install-dev
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy

fmt: install-dev
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

bench: install-dev
	@$(bin)/python -m benchmarks $(ARGS)

# The pictures in docs/playground.md.
screenshots: install-dev
	@tests/browser.sh
	@$(bin)/python -m tests.live.playground.pictures

standin: install-engine
	@$(bin)/python -m app.standin.recipe.train

adapters: install-engine
	@$(bin)/python -m app.standin.recipe.lora

lock:
	@python3 -m requirements.lock $(ARGS)

audit:
	@python3 -m requirements.audit

sbom:
	@python3 -m requirements.sbom

install:
	@requirements/install.sh

install-engine:
	@ENGINE= requirements/install.sh

install-dev:
	@requirements/install.sh dev
