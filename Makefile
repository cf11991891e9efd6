# Short names for what is typed often. Everything here works without make, too.
.PHONY: demo test check fix lock

demo: ## two nodes on this machine
	python3 run.py demo

test: ## lint, types, import contracts, dependencies, tests
	python3 run.py test

check: ## the same without the tests
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	.venv/bin/deptry .

fix: ## what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

lock: ## after a change of dependencies; needs uv
	uv lock
	uv export --quiet --frozen --no-annotate --no-default-groups --no-emit-project --group full --group build \
		--output-file requirements.lock
	uv export --quiet --frozen --no-annotate --only-group dev --output-file requirements-dev.lock
