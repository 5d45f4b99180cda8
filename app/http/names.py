"""Names in a path that have slashes of their own: models', plain or encoded. Nowhere else is `%2F` a slash."""

from starlette.convertors import PathConvertor, register_url_convertor

ENCODED_SLASH = "%2F"


class Name(PathConvertor):
    """The rest of the path as one name."""

    def convert(self, value: str) -> str:
        return value.replace(ENCODED_SLASH, "/")


class ModelToRun(Name):
    """A model's name, but for the one word that the proxy of wrangler 3 has (`…/ai/run/proxy`)."""

    regex = "(?!proxy$).*"


MODEL = "model_name"
MODEL_TO_RUN = "model_to_run"
register_url_convertor(MODEL, Name())
register_url_convertor(MODEL_TO_RUN, ModelToRun())
