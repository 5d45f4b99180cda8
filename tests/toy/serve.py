"""The server with a toy engine and a toy dialect: one line registers each. `python -m tests.toy.serve --config FILE`."""

from app.engines.registry import ENGINES, EngineKind

ENGINES["toy"] = EngineKind("toy", "Toy", "tests.toy.engine", loads_weights=False)


def main() -> None:
    # Only now: settings read the table of engines when they are imported.
    from app.http.routes import compatible_apis
    from app.server import process
    from tests.toy import dialect

    compatible_apis.DIALECTS.append(dialect.routes)
    process.main()


if __name__ == "__main__":
    main()
