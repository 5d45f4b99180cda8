"""The server with a toy engine and a toy dialect: one line registers each. `python -m tests.toy.serve --config FILE`."""

from app.engines.registry import ENGINES, EngineKind
from app.http.routes import compatible_apis
from tests.toy import dialect

ENGINES["toy"] = EngineKind("toy", "Toy", "tests.toy.engine", loads_weights=False)
compatible_apis.DIALECTS.append(dialect.routes)

if __name__ == "__main__":
    from app.server import process  # settings read the table of engines when they are imported

    process.main()
