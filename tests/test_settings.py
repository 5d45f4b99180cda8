"""app.settings: the file, its mistakes, and that table, schema, default files and documentation agree."""

import json
import tomllib
from pathlib import Path
from typing import Protocol

import json5
import pytest

from app.errors import SettingsError
from app.settings import CHECKOUT, DEFAULT_FILE, Settings, check_models, load_settings
from app.settings.aliases import aliases_of
from app.settings.schema import ENTRY, defaults, model_defaults, settings_schema
from app.settings.table import DEFAULT_MODELS, TABLE, Setting
from app.settings.values import Limits, Model, Server

CARDS = set(DEFAULT_MODELS)


class Write(Protocol):
    def __call__(self, text: str, name: str = "mine.toml") -> Path: ...


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write_file


def load(path: Path | None, env_name: str | None = None, **environ: str) -> Settings:
    return load_settings(path, env_name, environ)


def refusal(path: Path, env_name: str | None = None, **environ: str) -> list[str]:
    """The lines of the error, without the path of the file."""
    with pytest.raises(SettingsError) as caught:
        load(path, env_name, **environ)
    return [line.replace(str(path), path.name) for line in str(caught.value).splitlines()]


class TestAgreement:
    def test_checked_in_schema_is_the_table(self) -> None:
        assert json.loads((CHECKOUT / "schemas" / "settings.schema.json").read_text()) == settings_schema()

    @pytest.mark.parametrize("name", ["outworker.toml", "outworker.jsonc"])
    def test_default_files_say_every_default(self, name: str) -> None:
        text = (CHECKOUT / "wrangler-like-config" / name).read_text()
        document = tomllib.loads(text) if name.endswith(".toml") else json5.loads(text)
        document.pop("$schema", None)
        first, second = document.pop("models")
        expected = defaults()
        assert [first["name"], second["name"]] == [model["name"] for model in expected.pop("models")]
        assert document == expected
        known = {key: value for key, value in model_defaults().items() if value is not None}
        assert {key: value for key, value in first.items() if key != "name"} == known

    @pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
    def test_every_setting_is_documented(self, row: Setting) -> None:
        default = "" if row.default is None else f"`{json.dumps(row.default)}`"
        lines = (CHECKOUT / "docs" / "configuration.md").read_text().splitlines()
        assert f"| `{row.name}` | {default} | {row.unit} | {row.help} |" in lines
        key = row.name.removeprefix(ENTRY).rpartition(".")[2]
        for name, comment in (("outworker.toml", "#"), ("outworker.jsonc", "//")):
            text = (CHECKOUT / "wrangler-like-config" / name).read_text()
            assert f"{comment} {row.help}" in text
            assert key in text

    def test_every_documented_setting_exists(self) -> None:
        lines = (CHECKOUT / "docs" / "configuration.md").read_text().splitlines()
        start = lines.index("| name | default | unit | meaning |") + 2
        documented = [line.split("`")[1] for line in lines[start : lines.index("", start)]]
        assert documented == [row.name for row in TABLE]

    def test_values_have_the_tables_keys(self) -> None:
        for kind, prefix in ((Server, "server."), (Limits, "limits."), (Model, ENTRY)):
            rows = [row.name.removeprefix(prefix) for row in TABLE if row.name.startswith(prefix)]
            assert sorted(kind.__dataclass_fields__) == sorted(rows)

    @pytest.mark.parametrize("path", sorted(DEFAULT_FILE.parent.glob("*.*")), ids=lambda path: path.name)
    def test_ready_examples_load(self, path: Path) -> None:
        check_models(load(path), CARDS)


class TestValues:
    def test_none_is_the_checkouts_file(self) -> None:
        settings = load(None)
        assert settings.source == CHECKOUT / "wrangler-like-config" / "outworker.toml"
        assert [model.name for model in settings.models] == list(DEFAULT_MODELS)
        assert settings.server.port == 8788
        assert settings.limits.request_deadline_s == 300
        assert settings.server.data_dir == CHECKOUT / ".outworker"

    def test_an_empty_file_is_all_defaults(self, write: Write) -> None:
        empty, default = load(write("")), load(None)
        assert (empty.server, empty.models, empty.limits) == (default.server, default.models, default.limits)

    def test_jsonc_with_comments_and_trailing_commas(self, write: Write) -> None:
        settings = load(write('{ // a comment\n "server": {"port": 9000,}, /* and */ }', "mine.jsonc"))
        assert settings.server.port == 9000

    def test_environment_wins(self, write: Write, tmp_path: Path) -> None:
        path = write('[server]\nhost = "10.0.0.1"\nport = 1\ndata_dir = "elsewhere"')
        settings = load(path, HOST="0.0.0.0", PORT="0", OUTWORKER_DATA_DIR=str(tmp_path))
        assert (settings.server.host, settings.server.port) == ("0.0.0.0", 0)
        assert settings.server.data_dir == tmp_path

    def test_empty_environment_counts_as_not_set(self, write: Write) -> None:
        settings = load(write("[server]\nport = 9\n"), HOST="", PORT="", OUTWORKER_DATA_DIR="")
        assert (settings.server.host, settings.server.port) == ("127.0.0.1", 9)

    def test_hosts_and_origins_are_lower_case(self, write: Write) -> None:
        text = 'allowed_hosts = ["Box.Example", "::1"]\ncors_origins = ["https://App.Example:8443", "*"]'
        server = load(write(f"[server]\n{text}")).server
        assert server.allowed_hosts == ("box.example", "::1")
        assert server.cors_origins == ("https://app.example:8443", "*")

    def test_whole_floats_become_integers(self, write: Write) -> None:
        port = load(write("[server]\nport = 9000.0")).server.port
        assert (port, type(port)) == (9000, int)

    def test_vllm_arguments_pass_through(self, write: Write) -> None:
        text = '[[models]]\nname = "a"\nkv_cache_gib = 1.5\n[models.vllm]\nmax_num_seqs = 7\nx = {y = [1]}'
        model = load(write(text)).models[0]
        assert model.vllm == {"max_num_seqs": 7, "x": {"y": [1]}}
        assert model.kv_cache_gib == 1.5

    def test_adapters_in_memory_are_chosen_unless_set(self, write: Write) -> None:
        text = 'models = [{name = "a"}, {name = "b", weights = "w", max_adapters_resident = 200.0}]'
        a, b = load(write(text)).models
        assert (a.max_adapters_resident, b.max_adapters_resident) == (None, 200)
        assert type(b.max_adapters_resident) is int

    def test_bounds_of_uploads(self, write: Write) -> None:
        limits = load(write("[limits]\nupload_deadline_s = 0.5\nmin_free_bytes = 0")).limits
        assert (limits.max_uploads, limits.upload_deadline_s, limits.min_free_bytes) == (8, 0.5, 0)

    def test_entry_takes_what_it_leaves_out_from_the_first_with_its_weights(self, write: Write) -> None:
        text = """
            models = [{name = "a", weights = "w", adapters = false, vllm = {max_num_seqs = 7}},
                      {name = "b"}, {name = "c", weights = "w"}]"""
        a, b, c = load(write(text)).models
        assert (c.adapters, c.vllm) == (a.adapters, a.vllm) == (False, {"max_num_seqs": 7})
        assert (b.adapters, b.vllm) == (True, {})


class TestEnvironments:
    TEXT = """
        account_id = "top"
        models = [{name = "a"}, {name = "b"}]
        [server]
        port = 1
        cors_origins = ["https://a.example"]
        [env.staging]
        models = [{name = "c"}]
        [env.staging.server]
        port = 2
    """

    def test_tables_are_merged_and_arrays_replaced(self, write: Write) -> None:
        settings = load(write(self.TEXT), "staging")
        assert settings.env_name == "staging"
        assert settings.account_id == "top"
        assert (settings.server.port, settings.server.cors_origins) == (2, ("https://a.example",))
        assert [model.name for model in settings.models] == ["c"]

    def test_without_a_name_nothing_of_it_counts(self, write: Write) -> None:
        settings = load(write(self.TEXT))
        assert (settings.server.port, len(settings.models)) == (1, 2)

    def test_unknown_environment(self, write: Write) -> None:
        path = write(self.TEXT)
        assert refusal(path, "prod") == ["mine.toml: env.prod: no such environment; the file has: staging"]

    def test_mistakes_in_environments_that_are_not_chosen_count(self, write: Write) -> None:
        lines = refusal(write("[env.staging.server]\nprot = 1"))
        assert lines == ["mine.toml: env.staging.server.prot: unknown key; did you mean port?"]

    def test_environments_do_not_nest(self, write: Write) -> None:
        assert refusal(write("[env.a.env.b]")) == ["mine.toml: env.a.env: unknown key"]


MISTAKES = [
    ("[server]\nprot = 1", "server.prot: unknown key; did you mean port?"),
    ("prot = 1", "prot: unknown key"),
    ("[limit]\ndrain_s = 1", "limit: unknown key; did you mean limits?"),
    ('[server]\nport = "x"', 'server.port: expected a whole number from 0 to 65535, found "x"'),
    ("[server]\nport = 70000", "server.port: expected a whole number from 0 to 65535, found 70000"),
    ("[server]\nport = true", "server.port: expected a whole number from 0 to 65535, found true"),
    (
        "[limits]\nrequest_deadline_s = 0",
        "limits.request_deadline_s: expected a number above 0, at most 86400, found 0",
    ),
    ("[limits]\nping_s = inf", "limits.ping_s: expected a number above 0, at most 3600, found Infinity"),
    ("[limits]\ndrain_s = nan", "limits.drain_s: expected a number, found nan"),
    ("server = 3", "server: expected a table, found 3"),
    ("[[server]]\nport = 3", "server: expected a table, found a list"),
    ('name = " "', 'name: expected a text that is not empty, found " "'),
    ('account_id = "a/b"', 'account_id: expected 1 to 64 letters, digits, - or _, found "a/b"'),
    ("[server]\nstream_padding = 1", "server.stream_padding: expected true or false, found 1"),
    ("models = []", "models: expected at least one entry, found a list without entries"),
    ("models = [{}]", "models[0].name: expected a text, found nothing"),
    (
        'models = [{name = "a", engine = "vlm"}]',
        'models[0].engine: expected "vllm" or "transformers" or "llamacpp" or "fake", found "vlm"',
    ),
    ('models = [{name = "a"}, {name = "a"}]', 'models[1].name: expected each card once, found "a" again'),
    (
        'models = [{name = "a", max_adapters_in_batch = 8, max_adapters_resident = 4}]',
        "models[0].max_adapters_in_batch: expected at most 4 (max_adapters_resident), found 8",
    ),
    (
        'models = [{name = "a", max_adapters_resident = 3}]',
        "models[0].max_adapters_in_batch: expected at most 3 (max_adapters_resident), found 4",
    ),
    (
        "[limits]\nmax_uploads = 0",
        "limits.max_uploads: expected a whole number from 1 to 1000, found 0",
    ),
    (
        'models = [{name = "a"}, {name = "b", adapters = false}]',
        "models[1].adapters: expected the same as models[0].adapters (true), because equal weights share one "
        "engine; found false",
    ),
    (
        'models = [{name = "a", vllm = {seed = 1}}, {name = "b", vllm = {seed = 2}}]',
        'models[1].vllm: expected the same as models[0].vllm ({"seed": 1}), because equal weights share one '
        'engine; found {"seed": 2}',
    ),
    (
        'models = [{name = "a", engine = "llamacpp", vllm = {seed = 1}}]',
        'models[0].vllm: expected no vLLM arguments beside engine "llamacpp", found {"seed": 1}',
    ),
    (
        '[server]\nallowed_hosts = ["box.example:80"]',
        'server.allowed_hosts[0]: expected a host name or address without a port, or "*", found "box.example:80"',
    ),
    ('[env."a b"]', 'env: expected a name of letters, digits, - and _, found "a b"'),
]


class TestMistakes:
    @pytest.mark.parametrize(("text", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
    def test_one_line_names_file_key_and_expectation(self, write: Write, text: str, line: str) -> None:
        assert refusal(write(text)) == [f"mine.toml: {line}"]

    @pytest.mark.parametrize(
        "origin", ["example.com", "https://", "https://a.example/", "https://a.example:x", "//a.example", ""]
    )
    def test_origins(self, write: Write, origin: str) -> None:
        (line,) = refusal(write(f'[server]\ncors_origins = ["{origin}"]'))
        assert line.startswith(
            'mine.toml: server.cors_origins[0]: expected an origin, scheme://host[:port], or "*"'
        )

    def test_all_mistakes_at_once(self, write: Write) -> None:
        lines = refusal(write('[server]\nport = "x"\nhots = 1\n[limits]\ndrain_s = -1'))
        assert [line.split(":")[1].strip() for line in lines] == [
            "limits.drain_s",
            "server.hots",
            "server.port",
        ]

    def test_toml_syntax_names_the_line(self, write: Write) -> None:
        (line,) = refusal(write('name = "a"\nport = = 3'))
        assert line.startswith("mine.toml: not valid TOML: ")
        assert "line 2" in line

    @pytest.mark.parametrize("text", ['{\n "name" 3}', "{", '{"name": "a", "name": "b"}', "[" * 5000])
    def test_jsonc_syntax(self, write: Write, text: str) -> None:
        (line,) = refusal(write(text, "mine.jsonc"))
        assert line.startswith("mine.jsonc: not valid JSONC: ")

    def test_jsonc_that_is_no_object(self, write: Write) -> None:
        (line,) = refusal(write("[1]", "mine.json"))
        assert line == "mine.json: expected an object of settings, found list"

    def test_missing_file(self, tmp_path: Path) -> None:
        (line,) = refusal(tmp_path / "none.toml")
        assert line.startswith("none.toml: can't be read: No such file or directory")

    def test_other_extension(self, write: Write) -> None:
        (line,) = refusal(write("", "mine.yaml"))
        assert line == "mine.yaml: a settings file ends in .toml, .jsonc, .json"

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "mine.toml"
        path.write_bytes(b'name = "\xff"')
        (line,) = refusal(path)
        assert line == "mine.toml: expected UTF-8 text: byte 8 is not"

    @pytest.mark.parametrize("port", ["abc", "70000", "-1", "8_0", " 80", "٣", "1.5", "9" * 5000])
    def test_bad_port_in_the_environment(self, write: Write, port: str) -> None:
        (line,) = refusal(write(""), PORT=port)
        assert line.startswith("environment: PORT: expected a whole number from 0 to 65535, found ")
        assert len(line) < 200

    def test_unknown_cards(self, write: Write) -> None:
        settings = load(write('[[models]]\nname = "@hf/mistral/mistral-7b-instruct-v0.1"'))
        with pytest.raises(SettingsError) as caught:
            check_models(settings, CARDS)
        assert str(caught.value) == (
            f"{settings.source}: models[0].name: expected the name of a card in schemas/, found "
            '"@hf/mistral/mistral-7b-instruct-v0.1"; did you mean @hf/mistral/mistral-7b-instruct-v0.2?'
        )


class TestAliases:
    def models(self, *entries: str) -> str:
        return "".join(f"[[models]]\n{entry}\n" for entry in entries)

    def test_absent_they_are_the_last_part(self) -> None:
        settings = load(None)
        assert aliases_of(settings.models) == {name.rpartition("/")[2]: name for name in DEFAULT_MODELS}

    def test_an_entry_does_not_take_those_of_another_with_its_weights(self, write: Write) -> None:
        hf, cf = DEFAULT_MODELS
        text = self.models(f'name = "{hf}"\naliases = ["mistral", "gpt-4o"]', f'name = "{cf}"')
        found = aliases_of(load(write(text)).models)
        assert found == {"mistral": hf, "gpt-4o": hf, cf.rpartition("/")[2]: cf}

    def test_what_an_entry_says_counts_before_what_another_has_by_default(self, write: Write) -> None:
        hf, cf = DEFAULT_MODELS
        last = cf.rpartition("/")[2]
        text = self.models(f'name = "{hf}"\naliases = ["{last}"]', f'name = "{cf}"')
        assert aliases_of(load(write(text)).models) == {last: hf}
        text = self.models('name = "@hf/a/m"', 'name = "@cf/b/m"', 'name = "@cf/c/n"\naliases = []')
        assert aliases_of(load(write(text)).models) == {}

    def test_two_entries_with_one_alias(self, write: Write) -> None:
        hf, cf = DEFAULT_MODELS
        path = write(
            self.models(f'name = "{hf}"\naliases = ["a", "b"]', f'name = "{cf}"\naliases = ["c", "b"]')
        )
        assert refusal(path) == [
            f'{path.name}: models[1].aliases: expected names that no other entry has, found "b", which is of models[0]'
        ]

    @pytest.mark.parametrize("alias", ["@cf/x", "a:b", "", "a b", "-a", "a" * 129])
    def test_names_that_are_none(self, write: Write, alias: str) -> None:
        (line,) = refusal(write(self.models(f'name = "{DEFAULT_MODELS[0]}"\naliases = ["{alias}"]')))
        assert "models[0].aliases[0]: expected 1 to 128 letters, digits, -, _, . or /" in line

    def test_one_name_twice_in_an_entry(self, write: Write) -> None:
        (line,) = refusal(write(self.models(f'name = "{DEFAULT_MODELS[0]}"\naliases = ["a", "a"]')))
        assert "models[0].aliases: expected each entry only once" in line


class TestEnvironmentOfTheInstallation:
    @pytest.mark.parametrize(
        ("installed", "file"),
        [
            (("vllm", "xllamacpp"), "outworker.toml"),
            (("xllamacpp",), "llamacpp.toml"),
            ((), "outworker.toml"),
        ],
    )
    def test_an_installation_knows_its_engine(
        self, installed: tuple[str, ...], file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("app.settings.load.find_spec", lambda name: name if name in installed else None)
        assert load_settings(None, None, {}).source.name == file

    def test_allowed_hosts_are_added(self) -> None:
        hosts = load_settings(
            None, None, {"ALLOWED_HOSTS": " Box.LAN, fd00::7,,192.0.2.7 "}
        ).server.allowed_hosts
        assert {"box.lan", "fd00::7", "192.0.2.7", "127.0.0.1", "localhost", "::1"} == set(hosts)
        assert load_settings(None, None, {"ALLOWED_HOSTS": "*"}).server.allowed_hosts[-1] == "*"
        assert load_settings(None, None, {"ALLOWED_HOSTS": ""}).server.allowed_hosts[-1] == "::1"

    @pytest.mark.parametrize("text", ["box:80", "http://box", "a b", "box/", "[::1]", "*.box", "\u00e9"])
    def test_allowed_hosts_that_are_none(self, text: str) -> None:
        with pytest.raises(SettingsError, match="ALLOWED_HOSTS: expected names or addresses without a port"):
            load_settings(None, None, {"ALLOWED_HOSTS": text})
